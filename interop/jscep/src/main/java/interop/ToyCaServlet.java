package interop;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509CRLConverter;
import org.bouncycastle.cert.jcajce.JcaX509v2CRLBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.jscep.server.ScepServlet;
import org.jscep.transaction.FailInfo;
import org.jscep.transaction.OperationFailureException;
import org.jscep.transaction.TransactionId;
import org.jscep.transport.response.Capability;
import org.jscep.util.CertificationRequestUtils;

/**
 * The smallest CA that makes jscep's servlet useful: it issues to who knows the challenge password or holds a
 * certificate it issued. A common name that starts with "pending" is held back and comes out at the second poll, so that
 * a client's polling is shown without anybody waiting for an operator.
 */
final class ToyCaServlet extends ScepServlet {
    private static final long serialVersionUID = 1L;
    private static final int POLLS_UNTIL_ISSUED = 2;

    private final transient KeyPair pair;
    private final X509Certificate authority;
    private final X500Name name;
    private final String challenge;
    private final transient Map<BigInteger, X509Certificate> issued = new ConcurrentHashMap<>();
    private final transient Map<String, Held> held = new ConcurrentHashMap<>();

    private static final class Held {
        private final PKCS10CertificationRequest csr;
        private int polls;

        private Held(PKCS10CertificationRequest csr) {
            this.csr = csr;
        }
    }

    ToyCaServlet(KeyPair pair, X509Certificate authority, String challenge) {
        this.pair = pair;
        this.authority = authority;
        this.name = X500Name.getInstance(authority.getSubjectX500Principal().getEncoded());
        this.challenge = challenge;
    }

    @Override
    protected List<X509Certificate> doEnrol(PKCS10CertificationRequest csr, X509Certificate sender,
            TransactionId transId) throws Exception {
        String password = CertificationRequestUtils.getChallengePassword(csr);
        X509Certificate known = issued.get(sender.getSerialNumber());
        boolean renewal = known != null && Arrays.equals(known.getEncoded(), sender.getEncoded());
        if (!renewal && !challenge.equals(password)) {
            throw new OperationFailureException(FailInfo.badRequest);
        }
        if (csr.getSubject().toString().contains("CN=pending")) {
            held.put(transId.toString(), new Held(csr));
            return Collections.emptyList();
        }
        return issue(csr);
    }

    @Override
    protected List<X509Certificate> doGetCertInitial(X500Name issuer, X500Name subject, TransactionId transId)
            throws Exception {
        Held waiting = held.get(transId.toString());
        if (waiting == null) {
            throw new OperationFailureException(FailInfo.badCertId);
        }
        waiting.polls++;
        return waiting.polls < POLLS_UNTIL_ISSUED ? Collections.emptyList() : issue(waiting.csr);
    }

    private List<X509Certificate> issue(PKCS10CertificationRequest csr) throws Exception {
        X509Certificate certificate = Certificates.issue(csr.getSubject(),
                CertificationRequestUtils.getPublicKey(csr), name, pair.getPrivate());
        issued.put(certificate.getSerialNumber(), certificate);
        return List.of(certificate);
    }

    @Override
    protected List<X509Certificate> doGetCert(X500Name issuer, BigInteger serial) throws Exception {
        X509Certificate certificate = issued.get(serial);
        if (certificate == null) {
            throw new OperationFailureException(FailInfo.badCertId);
        }
        return List.of(certificate);
    }

    @Override
    protected X509CRL doGetCrl(X500Name issuer, BigInteger serial) throws Exception {
        Date now = new Date();
        JcaX509v2CRLBuilder builder = new JcaX509v2CRLBuilder(authority, now);
        builder.setNextUpdate(new Date(now.getTime() + 86_400_000L));
        return new JcaX509CRLConverter().getCRL(
                builder.build(new JcaContentSignerBuilder("SHA256withRSA").build(pair.getPrivate())));
    }

    @Override
    protected Set<Capability> doCapabilities(String identifier) {
        return EnumSet.of(Capability.AES, Capability.TRIPLE_DES, Capability.SHA_1, Capability.SHA_256,
                Capability.SHA_512, Capability.POST_PKI_OPERATION);
    }

    @Override
    protected List<X509Certificate> doGetCaCertificate(String identifier) {
        return List.of(authority);
    }

    @Override
    protected List<X509Certificate> getNextCaCertificate(String identifier) {
        return Collections.emptyList();
    }

    @Override
    protected PrivateKey getRecipientKey() {
        return pair.getPrivate();
    }

    @Override
    protected X509Certificate getRecipient() {
        return authority;
    }

    @Override
    protected PrivateKey getSignerKey() {
        return pair.getPrivate();
    }

    @Override
    protected X509Certificate getSigner() {
        return authority;
    }

    @Override
    protected X509Certificate[] getSignerCertificateChain() {
        return new X509Certificate[] {authority};
    }
}
