package interop;

import java.io.FileReader;
import java.io.FileWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;

import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.openssl.PEMKeyPair;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;

/** PEM files, read and written with Bouncy Castle: the only storage the driver and the toy CA have. */
final class Pem {
    private Pem() {
    }

    /** Writes one certificate, CRL or private key as PEM. */
    static void write(Path file, Object value) throws IOException {
        try (JcaPEMWriter writer = new JcaPEMWriter(new FileWriter(file.toFile()))) {
            writer.writeObject(value);
        }
    }

    static X509Certificate certificate(Path file) throws IOException, GeneralSecurityException {
        return new JcaX509CertificateConverter().getCertificate((X509CertificateHolder) read(file));
    }

    /** JcaPEMWriter stores an RSA key in the PKCS#1 form, which PEMParser hands back as a key pair. */
    static PrivateKey privateKey(Path file) throws IOException {
        Object value = read(file);
        PrivateKeyInfo info = value instanceof PEMKeyPair pair ? pair.getPrivateKeyInfo() : (PrivateKeyInfo) value;
        return new JcaPEMKeyConverter().getPrivateKey(info);
    }

    private static Object read(Path file) throws IOException {
        try (PEMParser parser = new PEMParser(new FileReader(file.toFile()))) {
            return parser.readObject();
        }
    }
}
