#!/bin/sh
# Make the environments of the peers:  bench/peers/environments.sh [FOLDER] [PYTHON]
#
# FOLDER (build/peers) gets one environment for FFCV and one for the other readers. PYTHON (.venv/bin/python) is the
# interpreter of prebake's own environment, where torch, numpy, h5py and opencv are: they are found there through a .pth
# file instead of being installed again. What an environment has itself comes first. Remove FOLDER to undo.
#
# FFCV has no wheels. It is compiled against Debian's libopencv-dev and libturbojpeg0-dev, with pkg-config and g++:
#   apt-get install --no-install-recommends libopencv-dev libturbojpeg0-dev pkg-config g++
# Without them its environment is left out.
set -eu

folder=${1:-build/peers}
python=${2:-.venv/bin/python}
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

environment() { # NAME: an environment that also sees the packages of prebake's
    "$python" -m venv --clear "$folder/$1"
    site=$("$folder/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$packages" > "$site/zz_prebake.pth"
}

install() { # NAME ARGUMENTS...
    name=$1
    shift
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

environment readers
install readers datasets==5.2.0 litdata==0.2.76 webdataset==1.0.2

if pkg-config --exists opencv4 libturbojpeg; then
    environment ffcv
    install ffcv numba==0.68.1 terminaltables==3.1.10 pytorch-pfn-extras==0.9.0 fastargs==1.2.0 assertpy==1.1
    install ffcv --no-deps --no-binary ffcv ffcv==1.0.2 # its other requirements are in prebake's environment
else
    echo "left out: ffcv: needs libopencv-dev, libturbojpeg0-dev and pkg-config" >&2
fi
