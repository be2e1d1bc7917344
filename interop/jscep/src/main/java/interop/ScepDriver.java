package interop;

import java.math.BigInteger;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;

import org.bouncycastle.asn1.DERPrintableString;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;
import org.jscep.client.Client;
import org.jscep.client.EnrollmentResponse;
import org.jscep.client.verification.OptimisticCertificateVerifier;
import org.jscep.transaction.FailInfo;
import org.jscep.transaction.OperationFailureException;
import org.jscep.transaction.TransactionId;
import org.jscep.transport.Transport;
import org.jscep.transport.TransportFactory.Method;
import org.jscep.transport.UrlConnectionTransportFactory;
import org.jscep.transport.request.GetNextCaCertRequest;
import org.jscep.transport.request.Operation;

/**
 * One jscep operation per run: {@code ScepDriver OPERATION URL FOLDER [ARGUMENTS]}. Keys and certificates live as PEM
 * in FOLDER. Exit codes are those of scep-kem: 0 done, 3 pending, 4 refused with a failInfo, 1 anything else.
 */
public final class ScepDriver {
    private static final int PENDING = 3;
    private static final int REFUSED = 4;

    private final URL url;
    private final Path folder;
    private final Client client;

    private ScepDriver(String url, String folder) throws Exception {
        this.url = new URL(url);
        this.folder = Path.of(folder);
        // The runner compares the CA certificate with the one on the responder's disk; trust is not what is tested.
        this.client = new Client(this.url, new OptimisticCertificateVerifier());
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        ScepDriver driver = new ScepDriver(args[1], args[2]);
        System.exit(driver.run(args));
    }

    private int run(String[] args) throws Exception {
        try {
            return switch (args[0]) {
                case "caps" -> caps();
                case "cacert" -> caCertificate();
                case "enrol" -> enrol(args[3], args[4]);
                case "renew" -> renew(args[3]);
                case "poll" -> poll(args[3], args[4]);
                case "getcert" -> getCertificate(args[3]);
                case "getcrl" -> getCrl();
                case "rollover" -> rollover();
                default -> throw new IllegalArgumentException(args[0]);
            };
        } catch (OperationFailureException e) {
            return refused(e.getFailInfo());
        }
    }

    private int caps() {
        var caps = client.getCaCapabilities();
        System.out.println("CAPS " + caps);
        System.out.println("CIPHER " + caps.getStrongestCipher());
        System.out.println("SIGNATURE " + caps.getStrongestSignatureAlgorithm());
        return 0;
    }

    private int caCertificate() throws Exception {
        return save(client.getCaCertificate(), "ca");
    }

    /** A self-signed certificate of the requested subject signs the request, as jscep's documentation has it. */
    private int enrol(String subject, String challenge) throws Exception {
        KeyPair pair = Certificates.newKeyPair();
        X509Certificate identity = Certificates.selfSigned(new X500Name(subject), pair);
        Pem.write(folder.resolve("key.pem"), pair.getPrivate());
        Pem.write(folder.resolve("identity.pem"), identity);
        return request(identity, pair.getPrivate(), pair, subject, challenge);
    }

    /** jscep knows no RenewalReq: a renewal is a PKCSReq signed with the old certificate, for a new key. */
    private int renew(String subject) throws Exception {
        X509Certificate old = Pem.certificate(folder.resolve("cert-0.pem"));
        PrivateKey oldKey = Pem.privateKey(folder.resolve("key.pem"));
        KeyPair pair = Certificates.newKeyPair();
        Pem.write(folder.resolve("key.pem"), pair.getPrivate());
        return request(old, oldKey, pair, subject, "");
    }

    private int request(X509Certificate signer, PrivateKey signerKey, KeyPair pair, String subject, String challenge)
            throws Exception {
        PKCS10CertificationRequestBuilder builder =
                new JcaPKCS10CertificationRequestBuilder(new X500Name(subject), pair.getPublic());
        if (!challenge.isEmpty()) {
            builder.addAttribute(PKCSObjectIdentifiers.pkcs_9_at_challengePassword,
                    new DERPrintableString(challenge));
        }
        var csr = builder.build(new JcaContentSignerBuilder("SHA256withRSA").build(pair.getPrivate()));
        return report(client.enrol(signer, signerKey, csr));
    }

    private int poll(String subject, String transactionId) throws Exception {
        X509Certificate identity = Pem.certificate(folder.resolve("identity.pem"));
        PrivateKey key = Pem.privateKey(folder.resolve("key.pem"));
        var name = new javax.security.auth.x500.X500Principal(new X500Name(subject).getEncoded());
        return report(client.poll(identity, key, name, new TransactionId(transactionId.getBytes("US-ASCII"))));
    }

    private int report(EnrollmentResponse response) throws Exception {
        if (response.isFailure()) {
            return refused(response.getFailInfo());
        }
        if (response.isPending()) {
            System.out.println("PENDING " + response.getTransactionId());
            return PENDING;
        }
        System.out.println("ISSUED " + response.getTransactionId());
        return save(response.getCertStore(), "cert");
    }

    private int getCertificate(String serial) throws Exception {
        CertStore store = client.getCertificate(Pem.certificate(folder.resolve("cert-0.pem")),
                Pem.privateKey(folder.resolve("key.pem")), new BigInteger(serial));
        return save(store, "fetched");
    }

    private int getCrl() throws Exception {
        X509Certificate own = Pem.certificate(folder.resolve("cert-0.pem"));
        X509CRL crl = client.getRevocationList(own, Pem.privateKey(folder.resolve("key.pem")),
                own.getIssuerX500Principal(), own.getSerialNumber());
        System.out.println("CRL " + crl.getIssuerX500Principal() + " revoked="
                + (crl.getRevokedCertificates() == null ? 0 : crl.getRevokedCertificates().size()));
        Pem.write(folder.resolve("crl.pem"), crl);
        return 0;
    }

    /**
     * Twice over. jscep checks the signature of the answer but then hands out the certificates of the outer SignedData,
     * where RFC 8894 section 4.7.1 puts the next certificates into the inner one; so the inner one is read here with
     * Bouncy Castle through jscep's own transport.
     */
    private int rollover() throws Exception {
        save(client.getRolloverCertificate(), "rollover-outer");
        Transport transport = new UrlConnectionTransportFactory().forMethod(Method.GET, url);
        byte[] answer = transport.sendRequest(new GetNextCaCertRequest(null), (content, mimeType) -> content);
        Object inner = new CMSSignedData(answer).getSignedContent().getContent();
        int number = 0;
        for (X509CertificateHolder holder : new CMSSignedData((byte[]) inner).getCertificates().getMatches(null)) {
            System.out.println("NEXT " + holder.getSubject() + " serial " + holder.getSerialNumber());
            Files.write(folder.resolve("next-" + number++ + ".der"), holder.getEncoded());
        }
        System.out.println(Operation.GET_NEXT_CA_CERT + " inner certificates: " + number);
        return number > 0 ? 0 : 1;
    }

    private int save(CertStore store, String name) throws Exception {
        int number = 0;
        for (Certificate certificate : store.getCertificates(null)) {
            X509Certificate x509 = (X509Certificate) certificate;
            System.out.println("CERT " + name + "-" + number + " " + x509.getSubjectX500Principal() + " serial "
                    + x509.getSerialNumber());
            Pem.write(folder.resolve(name + "-" + number++ + ".pem"), certificate);
        }
        return number > 0 ? 0 : 1;
    }

    private static int refused(FailInfo failInfo) {
        System.out.println("FAILURE " + failInfo);
        return REFUSED;
    }
}
