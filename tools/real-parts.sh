#!/usr/bin/env bash
# Finds or installs the real parts that the tests use: InfluxDB 1.8, OpenIPMI's simulator, ipmitool, a browser, and the recordings and
# simulated machines that lie beside the repository. Says what it does on stderr; stdout is shell code for eval:
#
#   eval "$(tools/real-parts.sh)"
#
# Variables that are set already are left as they are. With CI=true a part that cannot be had is an error.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${DEWLINE_CACHE:-${HOME:?HOME is not set}/.cache/dewline}
influx_version=1.8.10

say() { echo "real-parts: $*" >&2; }

lacking() {
	if [[ ${CI:-} == true ]]; then
		say "missing: $*"
		exit 1
	fi
	say "missing, its tests will be skipped: $*"
}

give() { printf 'export %s=%q\n' "$1" "$2"; }

# The commands that the Debian packages openipmi, ipmitool, freeipmi-tools, python3, netcat-openbsd, minisign and
# prometheus-alertmanager bring. The last would start a service that nobody needs: its unit is masked first. Any chromium will do; without
# one, the smallest of Debian's is installed, which has no window.
packages() {
	local want=() command_package
	for command_package in ipmi_sim:openipmi ipmitool:ipmitool ipmi-sensors:freeipmi-tools python3:python3 nc:netcat-openbsd \
		minisign:minisign prometheus-alertmanager:prometheus-alertmanager; do
		command -v "${command_package%%:*}" >/dev/null || want+=("${command_package##*:}")
	done
	command -v chromium >/dev/null || command -v chromium-headless-shell >/dev/null || want+=(chromium-headless-shell)
	((${#want[@]})) || return 0

	if ! command -v apt-get >/dev/null; then
		lacking "${want[*]} (install them by hand: this is no Debian)"
		return 0
	fi
	local as=()
	if ((EUID != 0)); then
		if ! sudo -n true 2>/dev/null; then
			lacking "${want[*]} (neither root nor sudo without a password)"
			return 0
		fi
		as=(sudo -n)
	fi
	local install=("${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${want[@]}")
	if [[ " ${want[*]} " == *" prometheus-alertmanager "* && -d /run/systemd/system ]]; then
		"${as[@]}" systemctl mask prometheus-alertmanager.service >&2 || true
	fi
	say "installing ${want[*]}"
	if ! "${install[@]}" </dev/null >&2; then
		say "refreshing the package lists first"
		"${as[@]}" apt-get update -q </dev/null >&2 || true
		"${install[@]}" </dev/null >&2 || lacking "${want[*]} (apt-get failed)"
	fi
}

# Without -X main.version the server does not know which one it is. GOFLAGS and GOWORK of this repository mean nothing there.
influxd() {
	if [[ -n ${DEWLINE_INFLUXD:-} ]]; then
		give DEWLINE_INFLUXD "$DEWLINE_INFLUXD"
		return 0
	fi
	local dir=$cache/influxd-$influx_version
	if [[ ! -x $dir/influxd ]]; then
		say "building InfluxDB $influx_version, about a minute"
		local new
		mkdir -p "$cache"
		new=$(mktemp -d "$cache/influxd.XXXXXX")
		if ! (cd "$new" && GOBIN=$new GOFLAGS='' GOWORK=off CGO_ENABLED=0 go install -trimpath \
			-ldflags "-s -w -X main.version=$influx_version" \
			"github.com/influxdata/influxdb/cmd/influxd@v$influx_version") >&2; then
			rm -rf "$new"
			lacking "InfluxDB $influx_version (go install failed)"
			return 0
		fi
		mkdir -p "$dir"
		mv -f "$new/influxd" "$dir/influxd" # whole or not at all, also when two do this at once
		rm -rf "$new"
	fi
	give DEWLINE_INFLUXD "$dir/influxd"
}

# beside VARIABLE FOLDER PATTERN: the folder, if it holds something of that pattern.
beside() {
	if [[ -n ${!1:-} ]]; then
		give "$1" "${!1}"
	elif compgen -G "$2/$3" >/dev/null; then
		give "$1" "$(cd "$2" && pwd)"
	else
		lacking "$1: no $3 in $2"
	fi
}

packages
influxd
beside DEWLINE_CAPTURES "$root/../shared/captures" '*.tar.gz'
beside DEWLINE_IPMI_SIM_DIR "$root/../shared/bmc-stand-ins/ipmi_sim" gen.py
