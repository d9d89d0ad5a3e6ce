#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# At each start of the cloud's container: put the machines onto its Docker network.
#
#   eth0 --- br-ext (the container's address) --- ext0 === ext1 --- Neutron's bridge --- machines
#
# Machines then are on the Docker network itself (layer 2): this machine and every container on that network reach
# them, and they the world, with no route and no floating address. Nova plugs machines into a bridge of its own, so
# Neutron gets ext1 as a physical interface rather than br-ext as a bridge.
set -euo pipefail

mount --options remount,rw,bind /proc/sys 2>/dev/null || mount --options remount,rw /proc/sys
if ! ip link show br-ext >/dev/null 2>&1; then
  address=$(ip -4 -oneline address show dev eth0 | awk '{ print $4; exit }')
  gateway=$(ip -4 route show default | awk '{ print $3; exit }')
  ip link add br-ext address "$(cat /sys/class/net/eth0/address)" type bridge forward_delay 0 stp_state 0
  ip address flush dev eth0
  ip link set eth0 master br-ext
  ip address add "$address" dev br-ext
  ip link set br-ext up
  ip link add ext0 type veth peer name ext1
  ip link set ext0 master br-ext
  ip link set ext0 up
  ip link set ext1 up
  [ -z "$gateway" ] || ip route replace default via "$gateway"
fi
# Security groups are iptables rules for bridged packets.
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo 1 >/proc/sys/net/bridge/bridge-nf-call-ip6tables
