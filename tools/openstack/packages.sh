#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Inside a container of Debian 12: install OpenStack Zed from Debian's packages, and start nothing of it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
printf '%s\n' force-unsafe-io force-confold >/etc/dpkg/dpkg.cfg.d/cloud

# Hundreds of packages that each start Python to compile their files: all at once, at the end, takes half as long.
printf '#!/bin/sh\nexit 0\n' >/usr/local/bin/py3compile
chmod 0755 /usr/local/bin/py3compile

apt-get update
apt-get install --yes --no-install-recommends \
  mariadb-server rabbitmq-server memcached \
  keystone glance placement-api \
  nova-api nova-conductor nova-scheduler nova-compute nova-compute-qemu libvirt-daemon-system libvirt-clients \
  neutron-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-metadata-agent \
  python3-openstackclient python3-pymysql \
  conntrack dnsmasq-base ebtables genisoimage ipset iptables qemu-utils
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /usr/local/bin/py3compile
python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages || true

units=(
  keystone glance-api placement-api nova-api nova-api-metadata nova-conductor nova-scheduler nova-compute neutron-api
  neutron-rpc-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-metadata-agent
  mariadb rabbitmq-server memcached libvirtd
)
systemctl disable --quiet "${units[@]}"

# /proc/sys becomes writable, since Neutron needs that; the machine's own settings are not this container's.
# The rest is of no use in a container.
systemctl mask --quiet \
  systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket \
  systemd-udevd-control.socket systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
  systemd-modules-load.service kmod-static-nodes.service getty.target console-getty.service \
  iscsid.service iscsid.socket open-iscsi.service multipathd.service multipathd.socket haproxy.service rsync.service \
  libvirt-guests.service apparmor.service \
  apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer \
  man-db.timer logrotate.timer \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
  dev-hugepages.mount dev-mqueue.mount
