{% autoescape off %}sh <<'VALOHAI_SETUP'
# {{ name }} logs in by itself from now on, for the user who runs this. It can be run again.
set -eu
umask 077

url={{ url }}
project={{ project }}
environment={{ environment }}
image=${VALOHAI_IMAGE:-{{ image }}}  # the one to try with
own="$HOME/.config/valohai-registries"

stop() { printf '%s\n' "$@" >&2; exit 1; }

main() {
  for needed in python3 curl; do
    command -v "$needed" >/dev/null || stop "$needed isn't installed here. Install it, and run this again."
  done
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || stop "The helper needs Python 3.9 or newer."

  # Where this user may write: VALOHAI_BIN says another place.
  if [ "$(id -u)" = 0 ]; then bin=/usr/local/bin; else bin="$HOME/.local/bin"; fi
  bin=${VALOHAI_BIN:-$bin}
  mkdir -p "$bin" "$own"
  curl -fsSL "$url{{ program }}" -o "$bin/.valohai-new" || stop "The helper couldn't be downloaded from $url."
  chmod 755 "$bin/.valohai-new"
  mv -f "$bin/.valohai-new" "$bin/docker-credential-valohai"

  # What else stands in these files is kept; one that isn't JSON is left as it is.
  python3 - "$url" "$project" "$environment" "$own" "{{ file }}" {{ hosts }} <<'END'
import json, os, sys

url, project, environment, own, clients, *hosts = sys.argv[1:]


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read().strip() or "{}")
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("credHelpers", {}), dict):
        sys.exit(f"{path} isn't a JSON file of this kind, so it was left as it is. Mend it or move it away, and run this again.")
    return found


def write(path, value):
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
    with open(path + ".valohai-new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.chmod(path + ".valohai-new", mode)
    os.replace(path + ".valohai-new", path)


worker, client = read(own + "/worker.json"), read(clients)
for name in ("VALOHAI_REGISTRIES_TOKEN", "VALOHAI_ENVIRONMENT"):
    worker.pop(name, None)
worker["VALOHAI_REGISTRIES_URL"] = url
worker["VALOHAI_REGISTRIES_TOKEN_FILE"] = own + "/token"
worker["VALOHAI_PROJECT"] = project
if environment:
    worker["VALOHAI_ENVIRONMENT"] = environment
helpers = client.setdefault("credHelpers", {})
for host in hosts:
    former = helpers.get(host, "valohai")
    if former != "valohai":
        print(f"{host} was asked of the helper {former} before; now of valohai.")
    helpers[host] = "valohai"
write(own + "/worker.json", worker)
write(clients, client)
END

  rm -f "$own/token.new"
  cat >"$own/token.new" <<'END'
{{ token }}
END
  mv -f "$own/token.new" "$own/token"

{% if certificates %}  # The authority of a registry of your own, where this client looks for it. Other files stay.
  if [ "$(id -u)" = 0 ]; then trusted="{{ certificates_of_all }}"; else trusted="{{ certificates_of_own }}"; fi
  trust() {
    certificate=$(cat)
    [ "$certificate" != "$(cat "$trusted/$1/valohai.crt" 2>/dev/null)" ] || return 0
    root=
    if ! (umask 022; mkdir -p "$trusted/$1") 2>/dev/null || ! [ -w "$trusted/$1" ]; then
      command -v sudo >/dev/null || stop "Only root may write to $trusted, where the certificate of $1 belongs. Run this as root."
      root=sudo
      (umask 022; sudo mkdir -p "$trusted/$1") || stop "The certificate of $1 couldn't be put into $trusted."
    fi
    # Readable from its first byte on, whatever comes in between.
    printf '%s\n' "$certificate" | (umask 022; $root tee "$trusted/$1/valohai.crt" >/dev/null) &&
      $root chmod 644 "$trusted/$1/valohai.crt" || stop "The certificate of $1 couldn't be put into $trusted."
  }
{% for host, pem in certificates %}  trust {{ host }} <<'END'
{{ pem }}END
{% endfor %}
{% endif %}  # Now as it will be at every pull.
  found=$(command -v docker-credential-valohai || true)
  PATH="$bin:$PATH"
  export PATH VALOHAI_IMAGE="$image"
  # A cache that can't be: what was kept from before would prove nothing.
  XDG_CACHE_HOME=none docker-credential-valohai config "$image" | grep -q '"auth": ' ||
    stop "It doesn't work: no login for $image. The reason stands above."
{% if client == "podman" %}  if command -v podman >/dev/null; then pull() { podman pull -q --authfile "{{ file }}" "$image"; }
  elif command -v skopeo >/dev/null; then pull() { skopeo inspect --authfile "{{ file }}" "docker://$image" >/dev/null; }
  else stop "The login works, but neither podman nor skopeo is installed here."
  fi
{% else %}  command -v {{ client }} >/dev/null || stop "The login works, but {{ client }} isn't installed here."
  pull() { {{ client }} pull -q "$image"; }
{% endif %}  pull || stop "The login works, but $image couldn't be pulled. The reason stands above." \
    "Perhaps it isn't there: export VALOHAI_IMAGE= with an image of yours, and run this again."
  echo "It works: $image."
  [ -n "$found" ] || echo "Still to do: $bin isn't in PATH here. Add it in ~/.profile: export PATH=\"$bin:\$PATH\""
}

main </dev/null
VALOHAI_SETUP
{% endautoescape %}
