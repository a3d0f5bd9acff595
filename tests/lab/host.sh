#!/usr/bin/env bash
# One machine of the lab, started in namespaces of its own (net, mount, pid, uts, ipc): host.sh NAME ADDRESS LAB KEEP…
#
# Its root is an overlay of this machine's: everything installed is there, everything written is private and lies in
# memory. This bash is its pid 1, and ends it all when it is killed: that is the power cut. With an address it has an
# sshd, and a user `ubuntu` as EC2's images have.
#
# Why each piece:
# - a pid namespace: `ray stop`, the first of every start command, kills by the names of all processes it sees
# - the overlay's upper layer on a tmpfs: under / itself it would be a loop
# - /tmp/ray and the homes' dot folders empty: all nodes use /tmp/ray, and a token or key of this machine changes what
#   Ray does
# - /dev/pts: `ray up` uses `ssh -tt`; /dev/shm larger than the third of memory that Ray wants for its object store
set -euo pipefail
name=$1 address=$2 lab=$3
shift 3

hostname "$name"
mount --make-rprivate /
space=$(mktemp -d "$lab/host.XXXXXX")
mount -t tmpfs -o size=4G tmpfs "$space"
layers=0
overlay() { # the folder $1 of this machine, at the same place below the new root
  mkdir -p "$space/upper$layers" "$space/work$layers" "$root$1"
  mount -t overlay -o "lowerdir=$1,upperdir=$space/upper$layers,workdir=$space/work$layers" overlay "$root$1"
  layers=$((layers + 1))
}
root=$space/root
overlay /
for folder in "$@"; do # what does not lie on the root's own file system
  [ -e "$root$folder/pyvenv.cfg" ] || [ -e "$root$folder/pyproject.toml" ] || [ -e "$root$folder/bin" ] || overlay "$folder"
done

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr"
mkdir "$root"/dev/{shm,pts}
mount -t tmpfs -o size=16G shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for folder in /tmp/ray "$HOME/.ray" "$HOME/.aws" "$HOME/.ssh" /home; do
  mkdir -p "$root$folder"
  mount -t tmpfs -o mode=700 private "$root$folder"
done

own=127.0.0.1
[ "$address" = none ] || own=$address
printf '127.0.0.1 localhost\n%s %s\n' "$own" "$name" >"$root/etc/hosts"
mkdir -p "$root/home/ubuntu/.ssh" "$root/run/sshd"
chmod 755 "$root/home"
sed -i "1i ubuntu:x:0:0::/home/ubuntu:/bin/bash" "$root/etc/passwd"
sed -i "1i ubuntu:*:19000:0:99999:7:::" "$root/etc/shadow"
printf '#!/bin/sh\nexec "$@"\n' >"$root/usr/local/bin/sudo"
chmod +x "$root/usr/local/bin/sudo"
cp "$lab/image.bashrc" "$root/home/ubuntu/.bashrc"
environment=$(cat "$lab/environment")
ln -s "$environment" "$root/home/ubuntu/venv"
rm -rf "$root$environment"/lib/python3*/site-packages/*satgan* # the project itself is installed by `ray up`

cd "$root"
mkdir -p oldroot
pivot_root . oldroot
cd /
if [ "$address" != none ]; then
  cp "/oldroot$lab/key.pub" /home/ubuntu/.ssh/authorized_keys
  install -m 600 "/oldroot$lab/hostkey" /etc/ssh/hostkey
  printf '%s\n' "ListenAddress $address" "HostKey /etc/ssh/hostkey" "PasswordAuthentication no" \
    "KbdInteractiveAuthentication no" "PermitRootLogin prohibit-password" "UsePAM no" "UseDNS no" "StrictModes no" \
    "Subsystem sftp internal-sftp" >/etc/ssh/sshd_config
else
  cp "/oldroot$lab/key" /home/ubuntu/.ssh/satgan
  chmod 600 /home/ubuntu/.ssh/satgan
fi
touch "/oldroot$lab/$name.up"
umount -l /oldroot
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
start=true
[ "$address" = none ] || start="/usr/sbin/sshd -e"
# bash stays pid 1 and reaps the daemons that `ray start` leaves behind.
exec env -i PATH=$path HOME=/home/ubuntu bash -c "$start; while :; do sleep 3600 & wait -n || true; done"
