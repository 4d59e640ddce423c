#!/bin/sh
# Makes a virtual environment with a working pip in $1, also on a Debian that ships python3 without ensurepip.
# Says nothing when all goes well; otherwise one line that tells what to install.
set -u
venv=$1
python=${PYTHON:-python3}

command -v "$python" >/dev/null 2>&1 || { echo "make: no $python on this machine; install Python 3.11 or newer" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "make: $("$python" -V) is too old; set PYTHON to a Python 3.11 or newer, as in: make demo PYTHON=python3.12" >&2
    exit 1
}

works() { "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
works && exit 0

rm -rf "$venv"
"$python" -m venv "$venv" >/dev/null 2>&1 && works && exit 0

# No ensurepip: a pip or a virtualenv that is there anyway can do it without installing anything system-wide.
rm -rf "$venv"
"$python" -m virtualenv -q "$venv" >/dev/null 2>&1 && works && exit 0
rm -rf "$venv"
borrowed=$(mktemp -d) && "$python" -m pip install -q --target "$borrowed" virtualenv >/dev/null 2>&1 &&
    PYTHONPATH=$borrowed "$python" -m virtualenv -q "$venv" >/dev/null 2>&1
rm -rf "$borrowed"
works && exit 0

package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    rm -rf "$venv"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } \
        >/dev/null 2>&1
    "$python" -m venv "$venv" >/dev/null 2>&1 && works && exit 0
fi
rm -rf "$venv"
echo "make: cannot make a virtual environment: install the package $package (Debian, Ubuntu: sudo apt-get install $package)" >&2
exit 1
