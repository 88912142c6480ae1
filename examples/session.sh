#!/usr/bin/env bash
# A session with curl, from opening it to its totals:  examples/session.sh [RECORDING.dat]
# Needs curl and jq, and a service at $SPIKEWATCH_URL (make serve); its key, if it asks for one, in $SPIKEWATCH_KEY.
set -euo pipefail

url=${SPIKEWATCH_URL:-http://127.0.0.1:8000}
recording=${1:-service/assets/street_td.dat}
piece_bytes=262144
key=(${SPIKEWATCH_KEY:+--header "X-API-Key: $SPIKEWATCH_KEY"})

# The answer, or the service's own words on standard error.
ask() {
  local answer
  answer=$(curl --silent --show-error --fail-with-body "${key[@]}" "$@") || { echo "$answer" >&2; return 1; }
  echo "$answer"
}

echo "# which network answers"
ask "$url/v1/models" | jq -c '.models[0] | {name, training, slice_us, slices}'

echo "# open a session"
session=$(ask "$url/v1/sessions" --json '{"format": "dat", "confidence": 0.3}')
id=$(jq -r .session_id <<< "$session")
jq -c '{session_id, format, policy, hop}' <<< "$session"

echo "# send the recording in pieces, cut anywhere; each answers with the windows that it completed"
bytes=$(wc -c < "$recording")
for ((n = 0; n * piece_bytes < bytes; n++)); do
  dd if="$recording" bs="$piece_bytes" skip="$n" count=1 status=none |
    ask "$url/v1/sessions/$id/events" --data-binary @- |
    jq -c '.windows[] | {t_end_us, events, seen: [.detections[].label] | group_by(.) | map({(.[0]): length}) | add}'
done

echo "# end it: the window under way, and what it all came to"
ask -X DELETE "$url/v1/sessions/$id" | jq -c '.totals'
