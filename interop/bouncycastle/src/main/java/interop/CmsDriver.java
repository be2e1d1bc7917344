package interop;

import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

import javax.crypto.spec.SecretKeySpec;

import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSAuthenticatedData;
import org.bouncycastle.cms.CMSAuthenticatedDataGenerator;
import org.bouncycastle.cms.CMSEnvelopedData;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSException;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.KeyTransRecipientInformation;
import org.bouncycastle.cms.PasswordRecipient;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceCMSMacCalculatorBuilder;
import org.bouncycastle.cms.jcajce.JceKEKAuthEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKEMAuthEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKEMEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKEMRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransAuthEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JcePasswordAuthenticatedRecipient;
import org.bouncycastle.cms.jcajce.JcePasswordRecipientInfoGenerator;
import org.bouncycastle.jcajce.interfaces.MLDSAPrivateKey;
import org.bouncycastle.jcajce.interfaces.MLKEMPrivateKey;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

/**
 * CMS and private keys with Bouncy Castle: {@code CmsDriver FILE}, where every line of FILE is one operation with its
 * arguments, separated by tabs. Many in one run, because starting Java takes longer than all of them. Prints "OK" or
 * "FAILED reason" for each line; the exit code is 1 if one failed.
 *
 * <pre>
 * open    MESSAGE KEY OUT                          decrypts EnvelopedData or AuthEnvelopedData, to an ML-KEM or RSA key
 * openkek MESSAGE HEX OUT                          decrypts AuthEnvelopedData with a KEKRecipientInfo
 * seal    CERT CONTENT OUT cbc|gcm issuer|key KDF UKM   KDF is HKDF-SHA256 ..., UKM hex, "-" for none
 * verify  MESSAGE OUT                              checks SignedData with the certificate in it
 * refuse  MESSAGE OUT                              fails unless verify does
 * sign    CERT KEY CONTENT OUT
 * signas  TYPE CERT KEY CONTENT OUT                SignedData over content of this type, the signer by its key
 * mac     TYPE PASSWORD CONTENT OUT                AuthenticatedData with HMAC-SHA256 by password
 * unmac   PASSWORD MESSAGE OUT                     checks AuthenticatedData with the first recipient, by password
 * inner   MESSAGE KEY OUT                          decrypts AuthEnvelopedData to an RSA key, whatever is in it
 * genkey  ALGORITHM default|short|long OUT PUBLIC  a new key as PKCS #8 and its SubjectPublicKeyInfo, both DER
 * reform  KEY OUT                                  reads PKCS #8 in PEM, writes it in Bouncy Castle's default form, DER
 * </pre>
 */
public final class CmsDriver {
    private static final String BC = BouncyCastleProvider.PROVIDER_NAME;

    private CmsDriver() {
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        boolean failed = false;
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            try {
                run(List.of(line.split("\t")));
                System.out.println("OK " + line.replace('\t', ' '));
            } catch (Exception e) {
                failed = true;
                System.out.println("FAILED " + line.replace('\t', ' ') + ": " + e);
                for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
                    System.out.println("  caused by " + cause);
                }
            }
        }
        System.exit(failed ? 1 : 0);
    }

    private static void run(List<String> words) throws Exception {
        switch (words.get(0)) {
            case "open" -> open(words.get(1), words.get(2), words.get(3));
            case "openkek" -> openUnderKey(words.get(1), words.get(2), words.get(3));
            case "seal" -> seal(words);
            case "verify" -> verify(words.get(1), words.get(2));
            case "refuse" -> refuse(words.get(1), words.get(2));
            case "sign" -> sign(words.get(1), words.get(2), words.get(3), words.get(4));
            case "signas" -> signAs(words);
            case "mac" -> authenticate(words.get(1), words.get(2), words.get(3), words.get(4));
            case "unmac" -> checkAuthenticated(words.get(1), words.get(2), words.get(3));
            case "inner" -> openInner(words.get(1), words.get(2), words.get(3));
            case "genkey" -> generate(words.get(1), words.get(2), words.get(3), words.get(4));
            case "reform" -> write(words.get(2), privateKey(words.get(1)).getEncoded());
            default -> throw new IllegalArgumentException(words.get(0));
        }
    }

    private static void open(String message, String keyFile, String out) throws Exception {
        byte[] encoded = Files.readAllBytes(Path.of(message));
        PrivateKey key = privateKey(keyFile);
        if (CMSObjectIdentifiers.authEnvelopedData.equals(ContentInfo.getInstance(encoded).getContentType())) {
            RecipientInformation info =
                    new CMSAuthEnvelopedData(encoded).getRecipientInfos().getRecipients().iterator().next();
            write(out, info.getContent(new JceKEMAuthEnvelopedRecipient(key).setProvider(BC)));
        } else {
            RecipientInformation info =
                    new CMSEnvelopedData(encoded).getRecipientInfos().getRecipients().iterator().next();
            boolean transport = info instanceof KeyTransRecipientInformation;
            write(out, info.getContent(transport ? new JceKeyTransEnvelopedRecipient(key).setProvider(BC)
                    : new JceKEMEnvelopedRecipient(key).setProvider(BC)));
        }
    }

    private static void openUnderKey(String message, String key, String out) throws Exception {
        RecipientInformation info = new CMSAuthEnvelopedData(Files.readAllBytes(Path.of(message))).getRecipientInfos()
                .getRecipients().iterator().next();
        var secret = new SecretKeySpec(HexFormat.of().parseHex(key), "AES");
        write(out, info.getContent(new JceKEKAuthEnvelopedRecipient(secret).setProvider(BC)));
    }

    private static void seal(List<String> words) throws Exception {
        X509Certificate certificate = certificate(words.get(1));
        CMSProcessableByteArray content = new CMSProcessableByteArray(Files.readAllBytes(Path.of(words.get(2))));
        JceKEMRecipientInfoGenerator recipient = recipient(certificate, words.get(5).equals("key"));
        recipient.setProvider(BC).setKDF(new AlgorithmIdentifier(kdf(words.get(6))));
        if (!words.get(7).equals("-")) {
            recipient.setUserKeyingMaterial(HexFormat.of().parseHex(words.get(7).replace("empty", "")));
        }
        if (words.get(4).equals("gcm")) {
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            generator.addRecipientInfoGenerator(recipient);
            var encryptor = new JceCMSContentEncryptorBuilder(NISTObjectIdentifiers.id_aes256_GCM);
            write(words.get(3), generator.generate(content, (OutputAEADEncryptor) encryptor.setProvider(BC).build())
                    .getEncoded());
        } else {
            CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
            generator.addRecipientInfoGenerator(recipient);
            var encryptor = new JceCMSContentEncryptorBuilder(NISTObjectIdentifiers.id_aes256_CBC);
            write(words.get(3), generator.generate(content, encryptor.setProvider(BC).build()).getEncoded());
        }
    }

    private static JceKEMRecipientInfoGenerator recipient(X509Certificate certificate, boolean byKey) throws Exception {
        ASN1ObjectIdentifier wrap = NISTObjectIdentifiers.id_aes256_wrap;
        if (!byKey) {
            return new JceKEMRecipientInfoGenerator(certificate, wrap);
        }
        var extensions = new X509CertificateHolder(certificate.getEncoded()).getExtensions();
        byte[] identifier = SubjectKeyIdentifier.fromExtensions(extensions).getKeyIdentifier();
        return new JceKEMRecipientInfoGenerator(identifier, certificate.getPublicKey(), wrap);
    }

    private static ASN1ObjectIdentifier kdf(String name) {
        return switch (name) {
            case "HKDF-SHA256" -> PKCSObjectIdentifiers.id_alg_hkdf_with_sha256;
            case "HKDF-SHA384" -> PKCSObjectIdentifiers.id_alg_hkdf_with_sha384;
            case "HKDF-SHA512" -> PKCSObjectIdentifiers.id_alg_hkdf_with_sha512;
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static void verify(String message, String out) throws Exception {
        CMSSignedData signed = new CMSSignedData(Files.readAllBytes(Path.of(message)));
        for (SignerInformation signer : signed.getSignerInfos().getSigners()) {
            Object found = signed.getCertificates().getMatches(signer.getSID()).iterator().next();
            var verifier = new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build((X509CertificateHolder) found);
            if (!signer.verify(verifier)) {
                throw new IllegalStateException("the signature does not verify");
            }
        }
        write(out, (byte[]) signed.getSignedContent().getContent());
    }

    private static void refuse(String message, String out) throws Exception {
        try {
            verify(message, out);
        } catch (IllegalStateException | CMSException e) {
            return;
        }
        throw new IllegalArgumentException("the signature verifies");
    }

    private static void sign(String certificateFile, String keyFile, String content, String out) throws Exception {
        X509Certificate certificate = certificate(certificateFile);
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(new JcaSimpleSignerInfoGeneratorBuilder().setProvider(BC)
                .build(certificate.getPublicKey().getAlgorithm(), privateKey(keyFile), certificate));
        generator.addCertificates(new JcaCertStore(List.of(certificate)));
        var data = new CMSProcessableByteArray(Files.readAllBytes(Path.of(content)));
        write(out, generator.generate(data, true).getEncoded());
    }

    private static void signAs(List<String> words) throws Exception {
        X509Certificate certificate = certificate(words.get(2));
        PrivateKey key = privateKey(words.get(3));
        var signer = new JcaContentSignerBuilder("SHA256withECDSA").setProvider(BC).build(key);
        var extensions = new X509CertificateHolder(certificate.getEncoded()).getExtensions();
        byte[] identifier = SubjectKeyIdentifier.fromExtensions(extensions).getKeyIdentifier();
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(
                new JcaSignerInfoGeneratorBuilder(digests()).build(signer, identifier));
        generator.addCertificates(new JcaCertStore(List.of(certificate)));
        write(words.get(5), generator.generate(typed(words.get(1), words.get(4)), true).getEncoded());
    }

    private static void authenticate(String type, String password, String content, String out) throws Exception {
        CMSAuthenticatedDataGenerator generator = new CMSAuthenticatedDataGenerator();
        var recipient = new JcePasswordRecipientInfoGenerator(NISTObjectIdentifiers.id_aes256_CBC,
                password.toCharArray());
        generator.addRecipientInfoGenerator(recipient.setProvider(BC).setPRF(PasswordRecipient.PRF.HMacSHA256));
        var mac = new JceCMSMacCalculatorBuilder(PKCSObjectIdentifiers.id_hmacWithSHA256).setProvider(BC).build();
        var digest = digests().get(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256));
        write(out, generator.generate(typed(type, content), mac, digest).getEncoded());
    }

    private static void checkAuthenticated(String password, String message, String out) throws Exception {
        var data = new CMSAuthenticatedData(Files.readAllBytes(Path.of(message)), digests());
        RecipientInformation info = data.getRecipientInfos().getRecipients().iterator().next();
        var recipient = new JcePasswordAuthenticatedRecipient(password.toCharArray()).setProvider(BC);
        byte[] content = info.getContent(recipient);
        // Of a message with attributes, getMac is over them; the digest in them is over the content.
        if (!Arrays.equals(info.getMac(), data.getMac())
                || data.getAuthAttrs() != null && !Arrays.equals(info.getContentDigest(), data.getContentDigest())) {
            throw new IllegalStateException("the MAC does not verify");
        }
        write(out, content);
    }

    private static void openInner(String message, String keyFile, String out) throws Exception {
        RecipientInformation info = new CMSAuthEnvelopedData(Files.readAllBytes(Path.of(message))).getRecipientInfos()
                .getRecipients().iterator().next();
        write(out, info.getContent(new JceKeyTransAuthEnvelopedRecipient(privateKey(keyFile)).setProvider(BC)));
    }

    private static CMSProcessableByteArray typed(String type, String content) throws Exception {
        return new CMSProcessableByteArray(new ASN1ObjectIdentifier(type), Files.readAllBytes(Path.of(content)));
    }

    private static DigestCalculatorProvider digests() throws Exception {
        return new JcaDigestCalculatorProviderBuilder().setProvider(BC).build();
    }

    /** What "short" and "long" are is for the reader to find: Bouncy Castle's parameter is called preferSeedOnly. */
    private static void generate(String algorithm, String form, String out, String publicOut) throws Exception {
        var pair = KeyPairGenerator.getInstance(algorithm, BC).generateKeyPair();
        PrivateKey key = pair.getPrivate();
        if (!form.equals("default")) {
            boolean seedOnly = form.equals("short");
            key = key instanceof MLKEMPrivateKey kem ? kem.getPrivateKey(seedOnly)
                    : ((MLDSAPrivateKey) key).getPrivateKey(seedOnly);
        }
        write(out, key.getEncoded());
        write(publicOut, pair.getPublic().getEncoded());
    }

    private static PrivateKey privateKey(String file) throws Exception {
        return new JcaPEMKeyConverter().setProvider(BC).getPrivateKey((PrivateKeyInfo) pem(file));
    }

    private static X509Certificate certificate(String file) throws Exception {
        return new JcaX509CertificateConverter().setProvider(BC).getCertificate((X509CertificateHolder) pem(file));
    }

    private static Object pem(String file) throws Exception {
        String text = Files.readString(Path.of(file), StandardCharsets.US_ASCII);
        try (PEMParser parser = new PEMParser(new StringReader(text))) {
            return parser.readObject();
        }
    }

    private static void write(String file, byte[] data) throws Exception {
        Files.write(Path.of(file), data);
    }
}
