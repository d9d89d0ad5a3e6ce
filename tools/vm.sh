#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Boot a node in a virtual machine that QEMU emulates, with a kernel and cgroup v2 of its own, or remove it.
#
# usage: tools/vm.sh build|up|down
#   build  make the disk: a host in a container, prepared by the role node, with a kernel; kept until something that goes
#          into it changes
#   up     build and boot, and write build/vm/ssh_config, by which ssh gets at the machine `libcloudspawner-vm`
#   down   end the machine
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/lib.sh

name=libcloudspawner-vm
port=${VM_PORT:-8022}
memory_mib=1024
boot_seconds=420
state=$PWD/build/vm
disk_mib=3072

# Each would cost a second or more under emulation.
masked=(apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
  fstrim.timer getty@tty1.service man-db.timer
  systemd-firstboot.service systemd-hwdb-update.service systemd-pstore.service systemd-networkd-wait-online.service)

base=
folder=

# What goes into the disk: whatever the role installs, and how it is made.
prepare() {
  tools/docker.sh
  base=$(tools/rootfs.sh bookworm)
  folder=$cache/vm-$({
    echo "$base $disk_mib"
    find roles/node roles/environment templates/jupyterhub-singleuser@.service.j2 playbooks/site.yml molecule/vm/inventory/hosts.yml \
      tools/vm.sh -type f -not -name '*.pyc' -print0 | sort --zero-terminated | xargs --null sha256sum
  } | sha256sum | cut -c1-12)
}

in_container() { docker exec --interactive "$name" "$@" </dev/null 2>&1 | narrate >&2; }

build() {
  prepare
  mkdir -p "$cache"
  exec 9>"$cache/vm.lock"
  flock --nonblock 9 || { say "Waiting for another build of the virtual machine" && flock 9; }
  [ ! -d "$folder" ] || return 0
  say "Building the virtual machine (three to six minutes, once)"
  apt_install --no-install-recommends e2fsprogs openssh-client
  work=$(mktemp --directory --tmpdir="$cache")
  trap 'docker rm --force --volumes "$name" >/dev/null 2>&1 || true; as_root rm -rf "$work"' EXIT
  docker rm --force --volumes "$name" >/dev/null 2>&1 || true
  tools/host.sh "$name" bookworm
  ansible-playbook playbooks/site.yml --inventory molecule/vm/inventory/hosts.yml </dev/null 2>&1 | narrate >&2

  # What the disk needs to be found before udev runs, and for a way in.
  in_container install --directory /etc/initramfs-tools/conf.d
  printf '%s\n' virtio_pci virtio_blk virtio_net ext4 | docker exec --interactive "$name" tee /etc/initramfs-tools/modules >/dev/null
  printf '%s\n' MODULES=list COMPRESS=zstd | docker exec --interactive "$name" tee /etc/initramfs-tools/conf.d/vm.conf >/dev/null
  in_container apt-get --quiet=2 update
  in_container env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes --no-install-recommends install \
    linux-image-cloud-amd64 initramfs-tools zstd openssh-server udev
  in_container apt-get clean
  mkdir "$work/made" "$work/root"
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$work/made/key"
  docker exec --interactive "$name" sh -c 'install --directory --mode=0700 /root/.ssh && cat >/root/.ssh/authorized_keys' \
    <"$work/made/key.pub"
  printf '%s\n' '[Match]' 'Name=en* eth*' '[Network]' 'DHCP=yes' |
    docker exec --interactive "$name" tee /etc/systemd/network/vm.network >/dev/null
  in_container systemctl enable --quiet systemd-networkd ssh
  in_container systemctl mask --quiet "${masked[@]}"

  say "Writing its disk"
  docker export "$name" | as_root tar --extract --numeric-owner --directory "$work/root"
  as_root cp --dereference "$work"/root/boot/vmlinuz-* "$work/made/vmlinuz"
  as_root cp --dereference "$work"/root/boot/initrd.img-* "$work/made/initrd.img"
  as_root rm -f "$work/root/.dockerenv" "$work/root/etc/machine-id"
  echo "$name" | as_root tee "$work/root/etc/hostname" >/dev/null
  echo '/dev/vda / ext4 rw,noatime 0 0' | as_root tee "$work/root/etc/fstab" >/dev/null
  as_root mke2fs -q -t ext4 -L root -d "$work/root" "$work/made/disk.raw" "${disk_mib}M"
  as_root chown --recursive "$(id -u)" "$work/made"
  rm -rf "$cache"/vm-????????????
  mv "$work/made" "$folder"
  docker rm --force --volumes "$name" >/dev/null
  as_root rm -rf "$work"
  trap - EXIT
}

in_vm() { ssh -F "$state/ssh_config" "$name" "$@"; }

has_booted() { in_vm true 2>/dev/null; }

up() {
  build
  down
  apt_install --no-install-recommends qemu-system-x86 openssh-client
  mkdir -p "$state"
  cat >"$state/ssh_config" <<END
Host $name
  HostName 127.0.0.1
  Port $port
  User root
  IdentityFile $folder/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 10
  ControlMaster auto
  ControlPath $cache/%C
  ControlPersist 60
END
  say "Booting the virtual machine"
  # What is written is forgotten with the machine.
  qemu-system-x86_64 -daemonize -pidfile "$state/pid" \
    -machine q35,accel=tcg -cpu max -smp 1 -m "$memory_mib" -display none -serial "file:$state/console.log" \
    -kernel "$folder/vmlinuz" -initrd "$folder/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=1 net.ifnames=0" \
    -drive "file=$folder/disk.raw,format=raw,if=virtio,snapshot=on" \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net
  wait_for "$boot_seconds" "the virtual machine" has_booted || {
    tail -n 20 "$state/console.log" >&2
    fail "the virtual machine did not boot within $boot_seconds s; its console: $state/console.log"
  }
}

down() {
  if [ -s "$state/pid" ]; then kill "$(cat "$state/pid")" 2>/dev/null || true; fi
  rm -rf "$state"
}

case ${1:-} in
  build | up | down) "$1" ;;
  *) fail "usage: tools/vm.sh build|up|down" ;;
esac
