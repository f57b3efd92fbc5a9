{% autoescape off %}sudo sh <<'VALOHAI_SETUP'
# The kubelet of this node logs in by itself from now on. On each node; it can be run again.
set -eu
umask 022

url={{ url }}
project={{ project }}
environment={{ environment }}
image=${VALOHAI_IMAGE:-{{ image }}}  # the one to try with
root=${VALOHAI_ROOT:-}
bin="$root/usr/local/libexec/credential-providers"
own="$root/etc/valohai-registries"
config="$root/etc/kubernetes/credential-providers.yaml"
mark='# Written by the set-up of Valohai Registries; run it again to change this.'

stop() { printf '%s\n' "$@" >&2; exit 1; }

main() {
  for needed in python3 curl; do
    command -v "$needed" >/dev/null || stop "$needed isn't installed here. Install it, and run this again."
  done
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || stop "The provider needs Python 3.9 or newer."
  if [ -e "$config" ] && [ "$(head -n 1 "$config")" != "$mark" ]; then
    stop "$config is there already, and was left as it is." \
      "Add the provider to it by hand: $url{{ setup }} has the lines."
  fi

  mkdir -p "$bin" "$own" "${config%/*}"
  curl -fsSL "$url{{ program }}" -o "$bin/.valohai-new" || stop "The provider couldn't be downloaded from $url."
  chmod 755 "$bin/.valohai-new"
  mv -f "$bin/.valohai-new" "$bin/valohai-credential-provider"

  rm -f "$own/token.new"
  (umask 077; cat >"$own/token.new") <<'END'
{{ token }}
END
  mv -f "$own/token.new" "$own/token"

  {
    printf '%s\n' "$mark"
    cat <<END
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: valohai-credential-provider
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    matchImages:
{% for host in match_images %}      - "{{ host }}"
{% endfor %}    defaultCacheDuration: "0s"
    env:
      - name: VALOHAI_REGISTRIES_URL
        value: "$url"
      - name: VALOHAI_REGISTRIES_TOKEN_FILE
        value: "$own/token"
      - name: VALOHAI_PROJECT
        value: "$project"
END
    [ -z "$environment" ] || printf '      - name: VALOHAI_ENVIRONMENT\n        value: "%s"\n' "$environment"
  } >"$config.new"
  mv -f "$config.new" "$config"

{% if certificates %}  # The authority of a registry of your own, where containerd looks for it. Other files stay.
  trust() {
    mkdir -p "$root{{ certificates_of_all }}/$1"
    cat >"$root{{ certificates_of_all }}/$1/valohai.crt"
  }
{% for host, pem in certificates %}  trust {{ host }} <<'END'
{{ pem }}END
{% endfor %}
{% endif %}  # Now as the kubelet asks; without a cache, since what was kept from before would prove nothing.
  export VALOHAI_REGISTRIES_URL="$url" VALOHAI_REGISTRIES_TOKEN_FILE="$own/token" VALOHAI_PROJECT="$project" VALOHAI_ENVIRONMENT="$environment"
  printf '{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest", "image": "%s"}\n' "$image" |
    XDG_CACHE_HOME=none "$bin/valohai-credential-provider" | grep -q '"password"' ||
    stop "It doesn't work: no login for $image. What was told stands above." \
      "If no entry serves that image, export VALOHAI_IMAGE= with one of yours, and run this again."
  echo "It works: the provider has a login for $image."
{% if certificates %}  echo "Still to do: have containerd read {{ certificates_of_all }} (config_path in its config.toml), and restart it."
{% endif %}  echo "Still to do: start the kubelet with these two, and restart it."
  echo "  --image-credential-provider-config=$config"
  echo "  --image-credential-provider-bin-dir=$bin"
}

main </dev/null
VALOHAI_SETUP
{% endautoescape %}
