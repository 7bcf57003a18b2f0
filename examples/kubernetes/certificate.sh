#!/bin/sh
# Makes an authority and its certificate for the webhook's service, in FOLDER, and prints the authority for
# `caBundle`.
# Give them to the cluster, and again before the year is over; the webhook takes up a new pair by itself:
#   kubectl -n glassbox create secret tls glassbox-webhook-tls --cert=FOLDER/tls.crt --key=FOLDER/tls.key
set -eu
folder=${1:?usage: certificate.sh FOLDER [NAME…]}
shift
names="DNS:glassbox-webhook.glassbox.svc"
for name in "$@"; do names="$names,$name"; done
umask 077
mkdir -p "$folder"
cd "$folder"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=glassbox webhook authority" -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj "/CN=glassbox-webhook.glassbox.svc" -keyout tls.key -out tls.csr 2>/dev/null
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$names" >tls.ext
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile tls.ext -out tls.crt 2>/dev/null
rm tls.csr tls.ext
base64 -w0 ca.crt
