/* Judges chains as a Java program does: its PKIX path validation, and the names as HTTPS compares them.
 *
 * Reads rows from stdin, a line each, fields between tabs:
 *   purpose (an object identifier), host or address (may be empty), milliseconds since 1970,
 *   certificates in base64 between commas (leaf first, root last), CRLs likewise (may be empty),
 *   an OCSP response in base64 (may be empty)
 * and writes a line for each: "accept", or "refuse" and why. With CRLs or a response, the status that they
 * are about must be known: of every certificate with CRLs, of the leaf with a response. Nothing is fetched.
 */

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.security.GeneralSecurityException;
import java.security.cert.CRL;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import sun.security.util.HostnameChecker;

public class Referee {
  public static void main(String[] args) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(judge(line.split("\t", -1)));
    }
  }

  private static String judge(String[] row) throws IOException {
    try {
      check(row);
      return "accept";
    } catch (GeneralSecurityException refusal) {
      return "refuse " + String.valueOf(refusal.getMessage()).replaceAll("\\s+", " ");
    }
  }

  private static void check(String[] row) throws GeneralSecurityException, IOException {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    List<X509Certificate> chain = new ArrayList<>();
    for (byte[] der : decode(row[3])) {
      chain.add((X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der)));
    }
    X509Certificate leaf = chain.get(0);
    X509Certificate root = chain.remove(chain.size() - 1);
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
    parameters.setDate(new Date(Long.parseLong(row[2])));
    X509CertSelector target = new X509CertSelector();
    target.setExtendedKeyUsage(Set.of(row[0]));
    target.setKeyUsage(new boolean[] {true}); // digitalSignature
    parameters.setTargetCertConstraints(target);
    CertPathValidator validator = CertPathValidator.getInstance("PKIX");
    setRevocation(row, parameters, validator, leaf);
    CertPath path = factory.generateCertPath(chain);
    validator.validate(path, parameters);
    if (!row[1].isEmpty()) {
      HostnameChecker.getInstance(HostnameChecker.TYPE_TLS).match(row[1], leaf);
    }
  }

  private static void setRevocation(
      String[] row, PKIXParameters parameters, CertPathValidator validator, X509Certificate leaf)
      throws GeneralSecurityException {
    List<byte[]> lists = decode(row[4]);
    List<byte[]> responses = decode(row[5]);
    parameters.setRevocationEnabled(!lists.isEmpty());
    if (!lists.isEmpty()) {
      CertificateFactory factory = CertificateFactory.getInstance("X.509");
      List<CRL> crls = new ArrayList<>();
      for (byte[] der : lists) crls.add(factory.generateCRL(new ByteArrayInputStream(der)));
      parameters.addCertStore(
          CertStore.getInstance("Collection", new CollectionCertStoreParameters(crls)));
    }
    if (!responses.isEmpty()) {
      PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
      checker.setOptions(
          EnumSet.of(
              PKIXRevocationChecker.Option.ONLY_END_ENTITY,
              PKIXRevocationChecker.Option.NO_FALLBACK));
      checker.setOcspResponses(Map.of(leaf, responses.get(0)));
      parameters.addCertPathChecker(checker);
    }
  }

  private static List<byte[]> decode(String field) {
    List<byte[]> all = new ArrayList<>();
    for (String part : field.split(",")) {
      if (!part.isEmpty()) all.add(Base64.getDecoder().decode(part));
    }
    return all;
  }
}
