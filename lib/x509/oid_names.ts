/** What people call the object identifiers that they meet in certificates. For showing, not deciding. */

type Names = Readonly<Record<string, string>>;

/** Short names of attributes, as RFC 4514, section 3, has them, and others in common use. */
export const ATTRIBUTE_NAMES: Names = {
  "2.5.4.3": "CN",
  "2.5.4.4": "SN",
  "2.5.4.5": "serialNumber",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "street",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.12": "title",
  "2.5.4.17": "postalCode",
  "2.5.4.42": "givenName",
  "2.5.4.46": "dnQualifier",
  "2.5.4.65": "pseudonym",
  "2.5.4.97": "organizationIdentifier",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "emailAddress",
};

export const EXTENSION_NAMES: Names = {
  "2.5.29.9": "subjectDirectoryAttributes",
  "2.5.29.14": "subjectKeyIdentifier",
  "2.5.29.15": "keyUsage",
  "2.5.29.17": "subjectAltName",
  "2.5.29.18": "issuerAltName",
  "2.5.29.19": "basicConstraints",
  "2.5.29.20": "cRLNumber",
  "2.5.29.27": "deltaCRLIndicator",
  "2.5.29.28": "issuingDistributionPoint",
  "2.5.29.30": "nameConstraints",
  "2.5.29.31": "cRLDistributionPoints",
  "2.5.29.32": "certificatePolicies",
  "2.5.29.33": "policyMappings",
  "2.5.29.35": "authorityKeyIdentifier",
  "2.5.29.36": "policyConstraints",
  "2.5.29.37": "extKeyUsage",
  "2.5.29.46": "freshestCRL",
  "2.5.29.54": "inhibitAnyPolicy",
  "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
  "1.3.6.1.5.5.7.1.3": "qcStatements",
  "1.3.6.1.5.5.7.1.11": "subjectInfoAccess",
  "1.3.6.1.5.5.7.1.24": "tlsFeature",
  "1.3.6.1.5.5.7.48.1.5": "ocspNoCheck",
  "1.3.6.1.4.1.11129.2.4.2": "signedCertificateTimestamps",
  "1.3.6.1.4.1.11129.2.4.3": "precertificatePoison",
  "1.3.6.1.4.1.311.20.2": "microsoftCertificateTemplateName",
  "1.3.6.1.4.1.311.21.7": "microsoftCertificateTemplate",
  "1.3.6.1.4.1.37476.9000.64.1": "stepProvisioner",
  "2.16.840.1.113730.1.1": "netscapeCertType",
  "2.16.840.1.113730.1.13": "netscapeComment",
};

export const PURPOSE_NAMES: Names = {
  "2.5.29.37.0": "anyExtendedKeyUsage",
  "1.3.6.1.5.5.7.3.1": "serverAuth",
  "1.3.6.1.5.5.7.3.2": "clientAuth",
  "1.3.6.1.5.5.7.3.3": "codeSigning",
  "1.3.6.1.5.5.7.3.4": "emailProtection",
  "1.3.6.1.5.5.7.3.8": "timeStamping",
  "1.3.6.1.5.5.7.3.9": "OCSPSigning",
  "1.3.6.1.5.5.7.3.17": "ipsecIKE",
  "1.3.6.1.5.2.3.5": "pkInitKDC",
  "1.3.6.1.4.1.311.20.2.2": "smartCardLogon",
};

export const SIGNATURE_NAMES: Names = {
  "1.2.840.10045.4.1": "ECDSA with SHA-1",
  "1.2.840.10045.4.3.1": "ECDSA with SHA-224",
  "1.2.840.10045.4.3.2": "ECDSA with SHA-256",
  "1.2.840.10045.4.3.3": "ECDSA with SHA-384",
  "1.2.840.10045.4.3.4": "ECDSA with SHA-512",
  "1.2.840.113549.1.1.4": "RSA with MD5",
  "1.2.840.113549.1.1.5": "RSA with SHA-1",
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.2.840.113549.1.1.11": "RSA with SHA-256",
  "1.2.840.113549.1.1.12": "RSA with SHA-384",
  "1.2.840.113549.1.1.13": "RSA with SHA-512",
  "1.2.840.10040.4.3": "DSA with SHA-1",
  "2.16.840.1.101.3.4.3.2": "DSA with SHA-256",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
};

export const KEY_NAMES: Names = {
  "1.2.840.113549.1.1.1": "RSA",
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.2.840.10045.2.1": "EC",
  "1.2.840.10040.4.1": "DSA",
  "1.3.101.110": "X25519",
  "1.3.101.111": "X448",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
};

/** Bits of a key that are the same for all keys of the algorithm or the curve. */
export const KEY_BITS: Readonly<Record<string, number>> = {
  X25519: 253,
  X448: 446,
  Ed25519: 256,
  Ed448: 456,
  "P-192": 192,
  "P-224": 224,
  "P-256": 256,
  "P-384": 384,
  "P-521": 521,
  secp256k1: 256,
  brainpoolP256r1: 256,
  brainpoolP384r1: 384,
  brainpoolP512r1: 512,
};

export const CURVE_NAMES: Names = {
  "1.2.840.10045.3.1.1": "P-192",
  "1.3.132.0.33": "P-224",
  "1.2.840.10045.3.1.7": "P-256",
  "1.3.132.0.34": "P-384",
  "1.3.132.0.35": "P-521",
  "1.3.132.0.10": "secp256k1",
  "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
  "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
  "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
};

export const POLICY_NAMES: Names = {
  "2.5.29.32.0": "anyPolicy",
  "2.23.140.1.1": "extended validation",
  "2.23.140.1.2.1": "domain validated",
  "2.23.140.1.2.2": "organization validated",
  "2.23.140.1.2.3": "individual validated",
};

/** Attributes of a certification request besides the extensions (RFC 2985, section 5.4). */
export const REQUEST_ATTRIBUTE_NAMES: Names = {
  "1.2.840.113549.1.9.2": "unstructuredName",
  "1.2.840.113549.1.9.7": "challengePassword",
  "1.2.840.113549.1.9.8": "unstructuredAddress",
  "1.2.840.113549.1.9.14": "extensionRequest",
  "1.3.6.1.4.1.311.13.2.3": "microsoftOSVersion",
  "1.3.6.1.4.1.311.21.20": "microsoftRequestClientInfo",
};

/** The name, or the identifier itself where there is none. */
export function nameOfOid(names: Names, oid: string): string {
  return Object.hasOwn(names, oid) ? names[oid] ?? oid : oid;
}
