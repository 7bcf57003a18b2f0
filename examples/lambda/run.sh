#!/bin/sh
# Makes the Lambda layer, and prints the commands that publish it and switch it on.
set -eu
glassbox=${GLASSBOX:-glassbox}
layer=${1:?usage: run.sh LAYER.zip}

# The machine is on stderr, in Lambda's words, at the end of the line.
said=$("$glassbox" lambda-layer ${PAIR:+--pair "$PAIR"} ${OPTIONS:-} -o "$layer" 2>&1) || { echo "$said" >&2; exit 1; }
unzip -l "$layer"
cat <<END
aws lambda publish-layer-version --layer-name glassbox --zip-file "fileb://$layer" \\
    --compatible-architectures ${said##* }
aws lambda update-function-configuration --function-name NAME --layers ARN-OF-THE-LAYER \\
    --environment 'Variables={LD_PRELOAD=/opt/lib/libglassbox.so}'
END
