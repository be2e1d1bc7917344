"""All servers that cases run against, by name.

`--against` runs the peers' cases on one of the others too, as a control: what fails there as well is the peer's.
"""

from __future__ import annotations

from interop.kit import other_servers, servers

SERVERS: dict[str, type[servers.Server]] = {
    "none": servers.NoServer,
    "ours": servers.OurResponder,
    "ours-ra": servers.RaResponder,
    "ours-kem": servers.KemResponder,
    "ours-kem-ra": servers.KemRaResponder,
    "ours-kem-only": servers.KemOnlyResponder,
    "ours-ml-dsa": servers.MlDsaResponder,
    "ours-liboqs": servers.LiboqsResponder,
    "ours-production": servers.ProductionResponder,
    "ours-classic": servers.ClassicResponder,
    "ours-classic-ra": servers.ClassicRaResponder,
    "micromdm": other_servers.MicromdmServer,
    "micromdm-stock": other_servers.StockMicromdmServer,
    "jscep": other_servers.JscepServer,
    "step-ca": other_servers.StepCaServer,
    "ndes": other_servers.NdesServer,
}
