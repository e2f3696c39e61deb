# shellcheck shell=bash
# Sourced by run.sh and with_database.sh: settings as the binaries read them, the environment before the .env file.

settings_root=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

from_env_file() {
    [[ -r $settings_root/.env ]] || return 0
    sed -n "s/^[[:space:]]*\(export[[:space:]]\+\)\?$1[[:space:]]*=[[:space:]]*//p" "$settings_root/.env" | tail -n 1 |
        sed -e 's/[[:space:]]*$//' -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'$/\1/"
}

# setting NAME DEFAULT
setting() {
    local name=$1 value=${!1:-}
    [[ -n $value ]] || value=$(from_env_file "$name")
    printf '%s' "${value:-$2}"
}

# The YAML file is the binaries' business; here it only matters whether it names a database at all.
yaml_names_database() {
    local file
    file=$(setting CONFIG_PATH '')
    [[ -n $file ]] || return 1
    [[ $file == /* ]] || file=$settings_root/$file
    [[ -r $file ]] && awk '/^[^[:space:]#]/ { inside = /^database[[:space:]]*:/ }
        inside && /(^|[{,[:space:]])url[[:space:]]*:/ { found = 1 }
        END { exit !found }' "$file"
}
