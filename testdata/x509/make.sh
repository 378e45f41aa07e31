#!/bin/sh
# Makes the files of this folder anew with OpenSSL 3: sh make.sh. What each stands for is in README.md.
# None of the keys protects anything; their password, where they have one, is "correct horse".
set -eu
cd "$(dirname "$0")"

key() { name=$1; shift; openssl genpkey -out "$name.key" "$@" 2>/dev/null; }
request() { name=$1; key=$2; shift 2; openssl req -new -key "$key.key" -out "$name.csr" "$@"; }

key p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
key secp256k1 -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
key p256_explicit -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit
key ed25519 -algorithm ED25519
key ed448 -algorithm ED448
key rsa1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
key rsa2048 -algorithm RSA -pkeyopt rsa_keygen_bits:2048
key rsa2048_exponent3 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3
key rsa3072 -algorithm RSA -pkeyopt rsa_keygen_bits:3072
key rsa_pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
# With the EC PARAMETERS block that openssl puts in front.
openssl ecparam -name prime256v1 -genkey -out p256_parameters.key

for name in p256 p384 p521 secp256k1 p256_explicit ed25519 ed448 \
  rsa1024 rsa2048 rsa2048_exponent3 rsa3072 rsa_pss; do
  request "$name" "$name" -subj /CN=alice
done
request p384_sha512 p384 -subj /CN=alice -sha512
request p256_sha1 p256 -subj /CN=alice -sha1
request rsa2048_sha1 rsa2048 -subj /CN=alice -sha1
request rsa2048_pss rsa2048 -subj /CN=alice -sigopt rsa_padding_mode:pss
request no_subject p256 -subj /
request organisation p256 -subj /O=Example/CN=alice
request other_cn p256 -subj /CN=bob
request two_cn p256 -subj /CN=alice/CN=bob
san() { request "$1" p256 -subj /CN=alice -addext "subjectAltName=$2"; }
san own_san "DNS:alice,DNS:alice.user.pki.internal,URI:spiffe://pki.internal/user/alice,email:alice@pki.internal"
san other_dns DNS:bob.user.pki.internal
san server_dns DNS:server.pki.internal
san other_uri URI:spiffe://pki.internal/user/bob
san other_domain URI:spiffe://pki.example/user/alice
san other_email email:bob@pki.internal
san ip IP:127.0.0.1
request ca p256 -subj /CN=alice -addext basicConstraints=critical,CA:TRUE

encrypt() { out=$1; shift; openssl pkcs8 -topk8 -in p256.key -out "$out.pem" -passout "pass:correct horse" "$@"; }
encrypt encrypted -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 1000
encrypt encrypted_1_round -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 1
encrypt encrypted_aes128 -v2 aes-128-cbc -v2prf hmacWithSHA256
encrypt encrypted_des3 -v2 des3 -v2prf hmacWithSHA256
encrypt encrypted_sha1 -v2 aes-256-cbc -v2prf hmacWithSHA1
encrypt encrypted_sha512 -v2 aes-256-cbc -v2prf hmacWithSHA512
encrypt encrypted_pbes1 -v1 PBE-SHA1-3DES
encrypt encrypted_scrypt -scrypt -scrypt_N 1024
openssl ec -in p256.key -aes256 -passout "pass:correct horse" -out encrypted_traditional.pem 2>/dev/null

# Requests by other programs, each with more than it needs: GnuTLS, NSS, Java. keytool and certutil make keys
# of their own, which are thrown away.
request openssl_extensions p256 -subj /C=CH/O=Example/CN=alice \
  -addext subjectAltName=DNS:alice.user.pki.internal \
  -addext keyUsage=critical,digitalSignature,keyEncipherment \
  -addext extendedKeyUsage=clientAuth,codeSigning -addext tlsfeature=status_request
work=$(mktemp -d)
cat > "$work/template" <<'END'
cn = "alice"
organization = "Example"
challenge_password = "correct horse"
uri = "spiffe://pki.internal/user/alice"
dns_name = "alice.user.pki.internal"
signing_key
encryption_key
tls_www_client
tls_www_server
END
for name in p256 rsa2048 ed25519; do
  certtool --generate-request --load-privkey "$name.key" --template "$work/template" \
    --outfile "certtool_$name.csr" 2>/dev/null
done
head -c 64 /dev/urandom > "$work/noise"
certutil -N -d "$work" --empty-password
nss() { out=$1; shift; certutil -R -d "$work" -z "$work/noise" -Z SHA256 -a -o "$out.csr" "$@" >/dev/null 2>&1; }
nss certutil_p256 -s CN=alice -k ec -q nistp256 --extSAN dns:alice.user.pki.internal \
  --keyUsage digitalSignature,critical --extKeyUsage clientAuth
nss certutil_rsa2048 -s CN=alice,O=Example -k rsa -g 2048
java() {
  out=$1; algorithm=$2; option=$3; name=$4; shift 4
  keytool -genkeypair -alias "$out" -keyalg "$algorithm" $option -dname "$name" \
    -keystore "$work/keys" -storepass changeit >/dev/null 2>&1
  keytool -certreq -alias "$out" -keystore "$work/keys" -storepass changeit -file "$out.csr" "$@" \
    2>/dev/null
}
java keytool_p256 EC "-groupname secp256r1" CN=alice \
  -ext san=dns:alice.user.pki.internal -ext ku:c=digitalSignature
java keytool_ed25519 Ed25519 "" CN=alice
java keytool_rsa2048 RSA "-keysize 2048" "CN=alice, OU=Unit, O=Example, L=Bern, ST=Bern, C=CH"
rm -r "$work"
