"""All peers, in the order in which they run."""

from __future__ import annotations

from interop.bouncycastle import PEER as BOUNCYCASTLE
from interop.certmonger import PEER as CERTMONGER
from interop.client_jscep import PEER as CLIENT_JSCEP
from interop.client_micromdm import PEER as CLIENT_MICROMDM
from interop.client_ndes import PEER as CLIENT_NDES
from interop.client_scepserver import PEER as CLIENT_SCEPSERVER
from interop.client_step_ca import PEER as CLIENT_STEP_CA
from interop.jscep import PEER as JSCEP
from interop.kit.cases import Peer
from interop.micromdm import PEER as MICROMDM
from interop.openssl import PEER as OPENSSL
from interop.openssl35 import PEER as OPENSSL35
from interop.production import PEER as PRODUCTION
from interop.scep_kem import PEER as SCEP_KEM
from interop.scepclient import PEER as SCEPCLIENT
from interop.sscep import PEER as SSCEP
from interop.strongswan import PEER as STRONGSWAN
from interop.strongswan6 import PEER as STRONGSWAN6

PEERS: tuple[Peer, ...] = (
    STRONGSWAN,
    STRONGSWAN6,
    CERTMONGER,
    MICROMDM,
    SCEPCLIENT,
    JSCEP,
    SSCEP,
    CLIENT_MICROMDM,
    CLIENT_SCEPSERVER,
    CLIENT_JSCEP,
    CLIENT_STEP_CA,
    CLIENT_NDES,
    SCEP_KEM,
    PRODUCTION,
    OPENSSL,
    OPENSSL35,
    BOUNCYCASTLE,
)
