#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Inside the container that packages.sh made: write the configuration, make the databases, start the services, and
# register what a cloud needs.
#
# CLOUD_ADDRESS, CLOUD_SUBNET, CLOUD_GATEWAY, CLOUD_POOL_START, CLOUD_POOL_END: the network, see tools/openstack.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

url=http://$CLOUD_ADDRESS
password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
database=mysql+pymysql://cloud:$password@127.0.0.1
broker=rabbit://cloud:$password@127.0.0.1:5672/

step() { echo "[$SECONDS s] $*"; }

# client SECTION USER
client() {
  cat <<END
[$1]
auth_type = password
auth_url = $url:5000
project_domain_name = Default
user_domain_name = Default
project_name = service
username = $2
password = $password
region_name = RegionOne
END
}

# server USER
server() {
  client keystone_authtoken "$1"
  cat <<END
www_authenticate_uri = $url:5000
memcached_servers = 127.0.0.1:11211
service_token_roles_required = true
END
}

# database SECTION NAME
database() {
  cat <<END
[$1]
connection = $database/$2
max_pool_size = 5
END
}

step "Writing the configuration"

# A database to throw away: speed before durability.
cat >/etc/mysql/mariadb.conf.d/99-cloud.cnf <<END
[mysqld]
bind-address = 127.0.0.1
max_connections = 500
skip-name-resolve
performance_schema = OFF
innodb_buffer_pool_size = 128M
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
innodb_doublewrite = 0
innodb_autoextend_increment = 8
sync_binlog = 0
character-set-server = utf8mb3
collation-server = utf8mb3_general_ci
END
# The node's name must not depend on the container's.
cat >/etc/rabbitmq/rabbitmq-env.conf <<END
NODENAME=rabbit@localhost
NODE_IP_ADDRESS=127.0.0.1
RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
END
printf '%s\n' 'disk_free_limit.absolute = 50MB' 'vm_memory_high_watermark.absolute = 1GB' >/etc/rabbitmq/rabbitmq.conf

cat >/etc/keystone/keystone.conf <<END
[DEFAULT]
log_dir = /var/log/keystone
[cache]
enabled = true
backend = oslo_cache.memcache_pool
memcache_servers = 127.0.0.1:11211
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
[token]
provider = fernet
expiration = 86400
$(database database keystone)
END

cat >/etc/glance/glance-api.conf <<END
[DEFAULT]
transport_url = $broker
enabled_backends = file:file
workers = 1
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = /var/lib/glance/images
[paste_deploy]
flavor = keystone
[oslo_concurrency]
lock_path = /var/lock/glance
$(database database glance)
$(server glance)
END

cat >/etc/placement/placement.conf <<END
[api]
auth_strategy = keystone
$(database placement_database placement)
$(server placement)
END

# One host under emulation never refuses a machine for lack of room, and notices soon when one stops by itself.
cat >/etc/nova/nova.conf <<END
[DEFAULT]
my_ip = $CLOUD_ADDRESS
host = openstack
state_path = /var/lib/nova
pybasedir = /usr/lib/python3/dist-packages
transport_url = $broker
compute_driver = libvirt.LibvirtDriver
enabled_apis = osapi_compute,metadata
osapi_compute_workers = 1
metadata_workers = 1
reserved_host_memory_mb = 0
reserved_host_disk_mb = 0
cpu_allocation_ratio = 16.0
ram_allocation_ratio = 4.0
disk_allocation_ratio = 16.0
vif_plugging_timeout = 120
force_raw_images = false
sync_power_state_interval = 30
running_deleted_instance_poll_interval = 60
resume_guests_state_on_host_boot = false
[api]
auth_strategy = keystone
$(database api_database nova_api)
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 60
[libvirt]
virt_type = qemu
# The oldest that NumPy still runs on; QEMU's own default is older.
cpu_mode = custom
cpu_models = Nehalem
inject_partition = -2
disk_cachemodes = file=unsafe
[image_cache]
remove_unused_base_images = false
[vnc]
enabled = false
[spice]
enabled = false
[glance]
region_name = RegionOne
[oslo_concurrency]
lock_path = /var/lock/nova
$(client placement placement)
$(client neutron neutron)
service_metadata_proxy = true
metadata_proxy_shared_secret = $password
$(client service_user nova)
send_service_user_token = true
$(database database nova)
$(server nova)
END
: >/etc/nova/nova-compute.conf

# Zed calls the Linux bridge experimental, and wants to hear that this is known.
cat >/etc/neutron/neutron.conf <<END
[DEFAULT]
host = openstack
core_plugin = ml2
service_plugins =
auth_strategy = keystone
transport_url = $broker
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
interface_driver = linuxbridge
dhcp_agents_per_network = 1
dhcp_lease_duration = 86400
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
[experimental]
linuxbridge = true
[agent]
root_helper = sudo neutron-rootwrap /etc/neutron/rootwrap.conf
[oslo_concurrency]
lock_path = /var/lock/neutron
$(client nova nova)
$(database database neutron)
$(server neutron)
END
cat >/etc/neutron/plugins/ml2/ml2_conf.ini <<END
[ml2]
type_drivers = flat
tenant_network_types =
mechanism_drivers = linuxbridge
extension_drivers = port_security
[ml2_type_flat]
flat_networks = physical
[securitygroup]
enable_security_group = true
enable_ipset = true
END
cat >/etc/neutron/plugins/ml2/linuxbridge_agent.ini <<END
[linux_bridge]
physical_interface_mappings = physical:ext1
[vxlan]
enable_vxlan = false
[agent]
polling_interval = 1
[securitygroup]
firewall_driver = iptables
enable_security_group = true
enable_ipset = true
END
cat >/etc/neutron/dhcp_agent.ini <<END
[DEFAULT]
interface_driver = linuxbridge
enable_isolated_metadata = true
force_metadata = true
resync_interval = 5
END
cat >/etc/neutron/metadata_agent.ini <<END
[DEFAULT]
nova_metadata_host = 127.0.0.1
metadata_proxy_shared_secret = $password
metadata_workers = 1
END

# libvirt leaves alone what a container does not have: control groups, mount namespaces, security modules. QEMU keeps
# root's rights, since the files that it uses keep their owners: those of images cannot be given another.
cat >>/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
clear_emulator_capabilities = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
max_core = 0
END
echo 'LIBVIRTD_ARGS=""' >/etc/default/libvirtd
rm -f /etc/libvirt/qemu/networks/autostart/default.xml

# Of uWSGI's threads more than one deadlock, since these services are patched by eventlet. Its http-socket keeps no
# connection alive and does not say so: a client with a pool of connections then meets a reset now and then.
for name in keystone/keystone glance/glance-api placement/placement-api neutron/neutron-api nova/nova-api \
  nova/nova-api-metadata; do
  case $name in
    keystone/* | neutron/* | nova/nova-api) processes=2 ;;
    *) processes=1 ;;
  esac
  sed --in-place --regexp-extended \
    --expression "s/^processes *=.*/processes = $processes/" \
    --expression 's/^threads *=.*/threads = 1/' \
    --expression 's/^plugins *=.*/plugins = python3/' \
    --expression '/^apparmor-profile/d' \
    --expression '$a add-header = Connection: close' \
    "/etc/$name-uwsgi.ini"
done

install --mode 0755 "$here/network.sh" /usr/local/sbin/cloud-network
cat >/etc/systemd/system/cloud-network.service <<END
[Unit]
Description=The bridge of the machines
DefaultDependencies=no
Before=network-pre.target network.target
[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory=cloud
RuntimeDirectoryPreserve=yes
ExecStart=/usr/local/sbin/cloud-network
[Install]
WantedBy=multi-user.target
END
for unit in neutron-linuxbridge-agent neutron-dhcp-agent nova-compute; do
  install --directory "/etc/systemd/system/$unit.service.d"
  printf '%s\n' '[Unit]' Requires=cloud-network.service \
    'After=cloud-network.service rabbitmq-server.service libvirtd.service' >"/etc/systemd/system/$unit.service.d/order.conf"
done
# A service that gives up because another is not there yet is started again. A busy machine takes minutes for a start.
for unit in keystone glance-api placement-api nova-api nova-api-metadata nova-conductor nova-scheduler nova-compute \
  neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-metadata-agent; do
  install --directory "/etc/systemd/system/$unit.service.d"
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' Restart=always RestartSec=2 TimeoutStartSec=600 \
    >"/etc/systemd/system/$unit.service.d/restart.conf"
done
systemctl daemon-reload

step "Starting the database, the broker and the bridge"
systemctl enable --quiet --now cloud-network mariadb rabbitmq-server memcached
{
  for name in keystone glance placement nova_api nova nova_cell0 neutron; do
    echo "CREATE DATABASE $name CHARACTER SET utf8mb3;"
  done
  for host in 127.0.0.1 localhost; do
    echo "CREATE USER cloud@$host IDENTIFIED BY '$password'; GRANT ALL ON *.* TO cloud@$host;"
  done
} | mysql
rabbitmqctl --quiet add_user cloud "$password"
rabbitmqctl --quiet set_permissions cloud '.*' '.*' '.*'

step "Making the tables"
run_as() {
  local user=$1
  shift
  runuser --user "$user" -- "$@"
}

identity_tables() {
  # What root logs, Keystone could not go on writing.
  install --directory --owner keystone --group keystone --mode 0700 /etc/keystone/fernet-keys \
    /etc/keystone/credential-keys
  run_as keystone keystone-manage fernet_setup
  run_as keystone keystone-manage credential_setup
  run_as keystone keystone-manage db_sync
  run_as keystone env OS_BOOTSTRAP_PASSWORD="$password" keystone-manage bootstrap \
    --bootstrap-region-id RegionOne \
    --bootstrap-admin-url "$url:5000/v3" \
    --bootstrap-internal-url "$url:5000/v3" \
    --bootstrap-public-url "$url:5000/v3"
  run_as glance glance-manage db_sync
  run_as placement placement-manage db sync
}

compute_tables() {
  run_as nova nova-manage api_db sync
  run_as nova nova-manage cell_v2 map_cell0 --database_connection "$database/nova_cell0"
  run_as nova nova-manage cell_v2 create_cell --name cell1
  run_as nova nova-manage db sync
}

network_tables() {
  run_as neutron neutron-db-manage --config-file /etc/neutron/neutron.conf \
    --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads
}

processes=()
for tables in identity compute network; do
  (
    set -e
    "${tables}_tables"
  ) >"/var/log/$tables-tables.log" 2>&1 &
  processes+=("$!")
done
for process in "${processes[@]}"; do
  wait "$process" || {
    tail --lines 20 /var/log/*-tables.log
    exit 1
  }
done

cat >/root/openrc <<END
export OS_AUTH_URL=$url:5000/v3 OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne
export OS_USERNAME=admin OS_PASSWORD=$password OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
END
chmod 0600 /root/openrc
# shellcheck source=/dev/null
. /root/openrc

step "Starting the services"
systemctl enable --quiet --now keystone
python3 "$here/cloud.py" identity
systemctl enable --quiet --now \
  libvirtd.socket libvirtd.service glance-api placement-api neutron-api neutron-rpc-server neutron-linuxbridge-agent \
  neutron-dhcp-agent neutron-metadata-agent nova-conductor nova-scheduler nova-api nova-api-metadata nova-compute
python3 "$here/cloud.py" content

step "Waiting until the scheduler knows of the host"
deadline=$((SECONDS + 180))
until run_as nova nova-manage cell_v2 discover_hosts >/var/log/discover.log 2>&1 &&
  run_as nova nova-manage cell_v2 list_hosts 2>/dev/null | grep --quiet openstack; do
  [ "$SECONDS" -lt "$deadline" ] || {
    journalctl --no-pager --lines 30 --unit nova-compute
    exit 1
  }
  sleep 2
done
step "Configured"
