package interop;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;

import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** Keys and certificates that the driver and the toy CA need: RSA-2048, SHA-256, one year. */
final class Certificates {
    private static final SecureRandom RANDOM = new SecureRandom();

    private Certificates() {
    }

    static KeyPair newKeyPair() throws NoSuchAlgorithmException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        return generator.generateKeyPair();
    }

    /** RFC 8894 section 2.3 wants digitalSignature and keyEncipherment in the certificate that signs a request. */
    static X509Certificate selfSigned(X500Name subject, KeyPair pair) throws Exception {
        int usage = KeyUsage.digitalSignature | KeyUsage.keyEncipherment;
        return build(subject, pair.getPublic(), subject, pair.getPrivate(), false, usage);
    }

    static X509Certificate authority(X500Name subject, KeyPair pair) throws Exception {
        int usage = KeyUsage.digitalSignature | KeyUsage.keyEncipherment | KeyUsage.keyCertSign | KeyUsage.cRLSign;
        return build(subject, pair.getPublic(), subject, pair.getPrivate(), true, usage);
    }

    static X509Certificate issue(X500Name subject, PublicKey key, X500Name issuer, PrivateKey issuerKey)
            throws Exception {
        int usage = KeyUsage.digitalSignature | KeyUsage.keyEncipherment;
        return build(subject, key, issuer, issuerKey, false, usage);
    }

    private static X509Certificate build(X500Name subject, PublicKey key, X500Name issuer, PrivateKey issuerKey,
            boolean isAuthority, int usage) throws Exception {
        BigInteger serial = new BigInteger(126, RANDOM).add(BigInteger.ONE);
        Instant now = Instant.now();
        JcaX509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(issuer, serial,
                Date.from(now.minus(Duration.ofHours(1))), Date.from(now.plus(Duration.ofDays(365))), subject, key);
        builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(isAuthority));
        builder.addExtension(Extension.keyUsage, true, new KeyUsage(usage));
        return new JcaX509CertificateConverter().getCertificate(
                builder.build(new JcaContentSignerBuilder("SHA256withRSA").build(issuerKey)));
    }
}
