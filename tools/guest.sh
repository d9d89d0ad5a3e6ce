#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make the images that machines of the test cloud start from, and print the folder that holds them.
#
#   vanilla.qcow2    Debian 12 with cloud-init and nothing else
#   jupyter.qcow2    the same with jupyterhub-singleuser, JupyterLab and a user `student`
#   jupyter-r.qcow2  the same under another name; /etc/image-name says which one runs
#   vmlinuz, initrd.img
#
# Kernel and initrd are images of their own in the cloud: no boot loader, no partitions, no loop device.
# MIRROR: where the packages come from; a URL, or lines of a sources.list. Else: where this machine has its own from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

disk_mib=3072
requirements=roles/node/files/requirements.txt
certificate_bundle=/etc/ssl/certs/ca-certificates.crt

# What a Debian cloud image has, without the parts that are of no use here.
packages=linux-image-cloud-amd64,initramfs-tools,zstd,systemd-sysv,systemd-resolved,dbus,udev,kmod,cloud-init,python3
packages+=,ca-certificates,curl,e2fsprogs,iproute2,openssh-server,procps,sudo

# Each would cost a second or more under emulation.
masked=(
  apt-daily.timer apt-daily-upgrade.timer cloud-init-hotplugd.socket dev-hugepages.mount dev-mqueue.mount
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service kmod-static-nodes.service
  man-db.timer modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service
  modprobe@fuse.service modprobe@loop.service proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service
  systemd-firstboot.service systemd-fsck-root.service systemd-hwdb-update.service systemd-initctl.socket
  systemd-journal-flush.service systemd-modules-load.service systemd-network-generator.service
  systemd-networkd-wait-online.service systemd-pstore.service systemd-repart.service systemd-update-utmp.service
  systemd-update-utmp-runlevel.service
)

# apt and pip in a machine reach what they reach here. Folders of this machine are none of a guest's.
apt_settings() {
  apt-config dump | grep -E '^Acquire::https?::(.*::)?(Proxy|Timeout|Verify-Peer|Verify-Host) ' || true
  local proxy=${http_proxy:-${HTTP_PROXY:-}}
  [ -z "$proxy" ] || printf 'Acquire::http::Proxy "%s";\n' "$proxy"
}

pip_settings() {
  python3 - "$certificate_bundle" <<'END'
import configparser
import os
import sys
from pathlib import Path

settings = {}
home = Path.home()
own = os.environ.get("PIP_CONFIG_FILE", os.devnull)
for path in ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf", own):
    parser = configparser.RawConfigParser()
    parser.read(path)
    if parser.has_section("global"):
        settings |= parser["global"]
settings |= {key[4:].lower().replace("_", "-"): value for key, value in os.environ.items() if key.startswith("PIP_")}

print(f"[global]\ncert = {sys.argv[1]}\ntimeout = 120")
for key in ("index-url", "extra-index-url", "trusted-host", "proxy"):
    words = [word for word in settings.get(key, "").split() if not word.startswith(("/", "file:"))]
    if words:
        print(key, "=", *words)
END
}

[ "$(dpkg --print-architecture)" = amd64 ] || fail "images are made for amd64 alone"
sources=${MIRROR:-$(roles/container/files/own-sources bookworm)}
apt=$(apt_settings)
pip=$(pip_settings)
shopt -s nullglob
certificates=(/usr/local/share/ca-certificates/*.crt)
hash=$({
  printf '%s\n' "$sources" "$apt" "$pip"
  cat tools/guest.sh "$requirements" "${certificates[@]}"
} | sha256sum | cut -c1-12)
folder=$cache/guest-$hash

# A file of settings may hold a password.
mkdir -p "$cache"
chmod 0700 "$cache"
exec 9>"$cache/guest.lock"
flock --nonblock 9 || { say "Waiting for another build of the images" && flock 9; }
if [ -d "$folder" ]; then
  echo "$folder"
  exit 0
fi

apt_install --no-install-recommends e2fsprogs mmdebstrap qemu-utils
command -v uv >/dev/null || fail "uv is missing. Please run: make setup, and . .venv/bin/activate"
work=$(mktemp --directory --tmpdir="$cache")
trap 'as_root rm -rf "$work"' EXIT
chmod 0755 "$work"
root=$work/root
mkdir "$work/made" "$work/files"

say "Building the images of machines (two or three minutes, once)"

# The config drive is an IDE CD-ROM, and cloud-init looks for it before udev would load its modules.
printf '%s\n' virtio_pci virtio_blk virtio_net ext4 ata_piix sr_mod isofs >"$work/files/modules"
printf '%s\n' MODULES=list BUSYBOX=auto COMPRESS=zstd >"$work/files/initramfs.conf"
printf 'blacklist %s\n' acpi_cpufreq button evdev i2c_piix4 joydev kvm kvm_amd kvm_intel pcspkr powernow_k8 psmouse sg \
  virtio_balloon >"$work/files/blacklist.conf"
echo 'policy: enabled' >"$work/files/ds-identify.cfg"
echo '/dev/vda / ext4 rw,noatime 0 0' >"$work/files/fstab"
printf '%s\n' "$apt" >"$work/files/apt.conf"
printf '%s\n' "$pip" >"$work/files/pip.conf"
cat >"$work/files/cloud.cfg" <<'END'
datasource_list: [ConfigDrive, OpenStack, None]
datasource:
  OpenStack: {max_wait: 60, timeout: 20, retries: 3}
apt: {preserve_sources_list: true}
manage_etc_hosts: true
# Who wants to log in brings the host's key along; to make one takes its time under emulation.
ssh_genkeytypes: []
cloud_init_modules:
  [seed_random, bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups, ssh]
cloud_config_modules: [set-passwords, apt-configure, timezone, runcmd]
cloud_final_modules:
  - package-update-upgrade-install
  - write-files-deferred
  - scripts-vendor
  - scripts-per-once
  - scripts-per-boot
  - scripts-per-instance
  - scripts-user
  - final-message
END

hooks=(
  # dracut-install reads the modules before the kernel is configured.
  "--essential-hook=mkdir -p \"\$1/etc/initramfs-tools/conf.d\""
  "--essential-hook=copy-in $work/files/modules /etc/initramfs-tools"
  "--essential-hook=upload $work/files/initramfs.conf /etc/initramfs-tools/conf.d/guest.conf"
  "--customize-hook=upload $work/files/cloud.cfg /etc/cloud/cloud.cfg.d/90_guest.cfg"
  "--customize-hook=upload $work/files/ds-identify.cfg /etc/cloud/ds-identify.cfg"
  "--customize-hook=upload $work/files/blacklist.conf /etc/modprobe.d/guest.conf"
  "--customize-hook=upload $work/files/fstab /etc/fstab"
  "--customize-hook=upload $work/files/apt.conf /etc/apt/apt.conf.d/90guest"
  "--customize-hook=upload $work/files/pip.conf /etc/pip.conf"
)
if [ "${#certificates[@]}" -gt 0 ]; then
  hooks+=(
    "--customize-hook=copy-in ${certificates[*]@Q} /usr/local/share/ca-certificates"
    "--customize-hook=chroot \"\$1\" update-ca-certificates"
  )
fi
hooks+=(
  "--customize-hook=chroot \"\$1\" systemctl enable systemd-networkd systemd-resolved serial-getty@ttyS0.service"
  "--customize-hook=chroot \"\$1\" systemctl mask ${masked[*]}"
)

as_root mmdebstrap \
  --mode=root \
  --format=directory \
  --variant=minbase \
  --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt='force-unsafe-io' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "${hooks[@]}" \
  bookworm "$root" ${sources:+"$sources"} </dev/null 2>&1 | narrate >&2

as_root cp --dereference "$root"/boot/vmlinuz-* "$work/made/vmlinuz"
as_root cp --dereference "$root"/boot/initrd.img-* "$work/made/initrd.img"
as_root find "$root/boot" -mindepth 1 -delete

# tidy NAME
tidy() {
  echo "$1" | as_root tee "$root/etc/image-name" >/dev/null
  as_root rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_*
  as_root ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
  as_root truncate --size 0 "$root/etc/machine-id"
}

# disk NAME: the tree as a disk.
disk() {
  say "Writing the image $1"
  rm -f "$work/disk.raw"
  as_root mke2fs -q -t ext4 -L root -d "$root" "$work/disk.raw" "${disk_mib}M" >/dev/null
  as_root chown "$(id -u)" "$work/disk.raw"
}

qcow2() { qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/made/$1.qcow2"; }

tidy debian-12-vanilla
disk vanilla
qcow2 vanilla

say "Installing JupyterLab into the image"
as_root rm -f "$root/etc/resolv.conf"
as_root cp /etc/resolv.conf "$root/etc/resolv.conf"
as_root cp "$(command -v uv)" "$root/usr/local/bin/uv"
as_root cp "$requirements" "$root/root/requirements.txt"
in_guest() {
  as_root env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    UV_NATIVE_TLS=1 UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=/root/uv UV_LINK_MODE=hardlink \
    ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
    chroot "$root" "$@" </dev/null 2>&1 | narrate >&2
}
in_guest uv venv --quiet --python /usr/bin/python3 /opt/jupyter
in_guest uv pip install --quiet --compile-bytecode --no-deps --require-hashes --python /opt/jupyter/bin/python \
  --requirement /root/requirements.txt
in_guest ln -s /opt/jupyter/bin/jupyterhub-singleuser /usr/local/bin/jupyterhub-singleuser
in_guest useradd --create-home --shell /bin/bash student
in_guest rm -rf /usr/local/bin/uv /root/uv /root/requirements.txt
tidy debian-12-jupyter
disk jupyter
qcow2 jupyter

echo debian-12-jupyter-r >"$work/files/image-name"
as_root chown root:root "$work/files/image-name"
as_root debugfs -w -f - "$work/disk.raw" >/dev/null 2>&1 <<END
rm /etc/image-name
write $work/files/image-name /etc/image-name
END
qcow2 jupyter-r

as_root chown --recursive "$(id -u)" "$work/made"
rm -rf "$cache"/guest-????????????
mv "$work/made" "$folder"
echo "$folder"
