package interop;

import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.Security;
import java.security.cert.X509Certificate;

import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** {@code ToyCa CA-PEM CHALLENGE}: jscep's servlet on a free port of the loopback interface, until killed. */
public final class ToyCa {
    private ToyCa() {
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        KeyPair pair = Certificates.newKeyPair();
        X509Certificate authority = Certificates.authority(new X500Name("CN=jscep toy CA"), pair);
        Pem.write(Path.of(args[0]), authority);

        Server server = new Server(new InetSocketAddress("127.0.0.1", 0));
        ServletContextHandler context = new ServletContextHandler();
        context.addServlet(new ServletHolder(new ToyCaServlet(pair, authority, args[1])), "/scep/*");
        server.setHandler(context);
        server.start();
        int port = ((ServerConnector) server.getConnectors()[0]).getLocalPort();
        System.out.println("URL: http://127.0.0.1:" + port + "/scep");
        server.join();
    }
}
