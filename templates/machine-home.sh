#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Mount a volume of the cloud as a home. It is formatted only when nothing at all is on it; what is on it is kept, and
# what is not known is left alone.
#
# usage: jupyterhub-singleuser-home VOLUME ACCOUNT [used]
#
# With used, which the hub says of a volume that a server has had, it is not formatted either if it looks blank.
set -eu
volume=$1
account=$2
used=${3:-}
home=/home/$account
patience=${JUPYTERHUB_SINGLEUSER_HOME_PATIENCE:-120}

say() { echo "jupyterhub-singleuser: $*"; }
refuse() {
  say "the volume $volume cannot be the home of $account: $*"
  exit 1
}

# A hypervisor hands the id of a volume on as its serial number, which virtio cuts off at 20 characters.
start=$(printf %.20s "$volume")
find_device() {
  for name in "virtio-$start" "virtio-$volume" "scsi-0QEMU_QEMU_HARDDISK_$start" "scsi-0QEMU_QEMU_HARDDISK_$volume"; do
    if [ -b "/dev/disk/by-id/$name" ]; then
      readlink --canonicalize "/dev/disk/by-id/$name"
      return
    fi
  done
  return 1
}

waited=0
until device=$(find_device); do
  [ "$waited" -lt "$patience" ] || refuse "it did not appear within $patience seconds"
  [ "$waited" -gt 0 ] || say "waiting for the volume $volume"
  sleep 1
  waited=$((waited + 1))
done

if mounted=$(findmnt --noheadings --output SOURCE --mountpoint "$home"); then
  [ "$mounted" = "$device" ] || refuse "$mounted is mounted there"
  exit 0
fi

# What blkid cannot read, or whose beginning was overwritten, is nothing to it too. So a blank volume is one that can be
# read and is empty at its beginning, where ext4 has copies of its superblock, and at many places between.
is_blank() {
  cmp --silent --bytes=1048576 "$device" /dev/zero || return 1
  size=$(blockdev --getsize64 "$device") || return 1
  group=134217728
  step=$((size / 64 / 4096 * 4096))
  for place in $((group)) $((3 * group)) $((5 * group)) $((7 * group)) $((9 * group)) 8389632 \
    $(seq 0 "$step" $((size - 65536))) $((size - 65536)); do
    [ "$place" -lt "$size" ] || continue
    length=$((size - place))
    [ "$length" -le 65536 ] || length=65536
    cmp --silent --ignore-initial="$place:0" --bytes="$length" "$device" /dev/zero || return 1
  done
}
status=0
found=$(blkid --probe --output export "$device") || status=$?
kind=$(printf '%s\n' "$found" | sed --quiet 's/^TYPE=//p; s/^PTTYPE=/partition table /p')
if [ "$status" = 2 ]; then
  [ -z "$used" ] || refuse "it has no file system, though it has had files; it was left alone"
  is_blank || refuse "it has no file system and is not blank either; it was left alone"
  say "formatting the volume $volume, which is blank"
  # Half a file system would be something unknown: who ends the machine meanwhile has to wait.
  trap '' TERM
  mkfs.ext4 -q -m 0 -L jupyterhub-home -E lazy_itable_init=1 "$device" || refuse "it could not be formatted"
  trap - TERM
elif [ "$status" != 0 ] || [ "$kind" != ext4 ]; then
  refuse "it holds something else ($(printf %s "${kind:-several things at once}" | tr '\n' ' ')); it was left alone"
fi

status=0
e2fsck -p "$device" || status=$?
[ "$status" -lt 4 ] || refuse "its file system is damaged, and an administrator has to repair it (e2fsck $device)"
mkdir --parents "$home"
mount --types ext4 --options nosuid,nodev "$device" "$home" || refuse "it could not be mounted"
# In case that the volume was extended.
resize2fs "$device" >/dev/null 2>&1 || say "the file system on the volume $volume could not be grown to its size"

# The account is that of its files, where the image lets it; else the files become those of the account.
owner=$(stat --format=%u "$home")
if ! id "$account" >/dev/null 2>&1; then
  say "creating the account $account"
  set -- --no-create-home --home-dir "$home" --user-group --shell /bin/bash
  if [ "$owner" -ge 1000 ] && ! getent passwd "$owner" >/dev/null && ! getent group "$owner" >/dev/null; then
    set -- "$@" --uid "$owner"
  fi
  useradd "$@" "$account"
fi
if [ "$owner" = 0 ]; then
  [ ! -d "$home/lost+found" ] || rmdir "$home/lost+found"
  cp --recursive --no-target-directory --no-clobber /etc/skel "$home"
  chown --recursive --no-dereference "$account:$(id --group "$account")" "$home"
elif [ "$owner" != "$(id --user "$account")" ]; then
  say "giving the files of number $owner to $account"
  chown --recursive --no-dereference --from="$owner" "$account:$(id --group "$account")" "$home"
fi
chmod 0700 "$home"
say "the volume $volume is the home of $account"
