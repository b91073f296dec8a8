# The machines of the bed: their processes and how they come up. Sourced by
# `bed`, which sets $self and $bed.

die() { echo "bed: $*" >&2; exit 1; }

wait_for() { # what, command...: up to 20 s
    local what=$1 _
    shift
    for _ in $(seq 1000); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.02
    done
    die "$what: no success within 20 s"
}

# --- processes of one machine ---------------------------------------------------------------------

pid_of() { # machine, process
    cat "$bed/$1/$2.pid" 2>/dev/null || die "machine $1 has no process '$2'"
}

is_alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

end_process() { # machine, process, signal
    local pid _
    pid=$(pid_of "$1" "$2")
    kill "-$3" "$pid" 2>/dev/null || true
    for _ in $(seq 300); do
        is_alive "$pid" || break
        sleep 0.01
    done
    # It may end by itself in this very moment.
    if is_alive "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
    rm -f "$bed/$1/$2.pid"
}

enter() { # machine, command...: replaces this shell
    local anchor
    anchor=$(pid_of "$1" anchor)
    shift
    exec nsenter --target "$anchor" --mount --net --uts -- "$@"
}

bus_config() { # socket
    cat <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>$1</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_connections_per_user">2048</limit>
</busconfig>
END
}

avahi_config() { # host name, interface, yes or no for IPv6
    cat <<END
[server]
host-name=$1
allow-interfaces=$2
use-ipv4=yes
use-ipv6=$3
enable-dbus=yes
ratelimit-interval-usec=0
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
END
}

avahi_options=(--no-drop-root --no-chroot --no-rlimits --no-proc-title)

avahi_is_running() { # bus address: state 2 means that the host name is probed and announced
    dbus-send --bus="$1" --print-reply=literal --dest=org.freedesktop.Avahi / \
        org.freedesktop.Avahi.Server.GetState 2>/dev/null | grep -q 'int32 2'
}

dbus_start() {
    local home=$bed/$1
    rm -f "$home/bus"
    (enter "$1" dbus-daemon --config-file="$home/dbus.conf" --nofork --nopidfile --nosyslog) \
        </dev/null >>"$home/dbus.log" 2>&1 &
    echo $! >"$home/dbus.pid"
    wait_for "message bus of machine $1" test -S "$home/bus"
}

avahi_start() {
    local home=$bed/$1
    (
        export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$home/bus"
        enter "$1" avahi-daemon -f "$home/avahi.conf" "${avahi_options[@]}"
    ) </dev/null >>"$home/avahi.log" 2>&1 &
    echo $! >"$home/avahi.pid"
    wait_for "Avahi of machine $1 ($home/avahi.log)" avahi_is_running "unix:path=$home/bus"
}

# --- building -------------------------------------------------------------------------------------

build_tool() {
    local compiler
    [ -x "$bed/tool" ] && return 0
    for compiler in cc gcc clang; do
        if command -v $compiler >/dev/null; then
            $compiler -O2 -Wall -Wextra -o "$bed/tool" "$(dirname "$self")/bed.c"
            return 0
        fi
    done
    die "no C compiler: apt install gcc"
}

machine_up() {
    local i=$1 home=$bed/$1 v6=yes
    [ "${BED_V6:-1}" = 1 ] || v6=no
    mkdir -p "$home"
    bus_config "unix:path=$home/bus" >"$home/dbus.conf"
    avahi_config "machine$i" eth0 $v6 >"$home/avahi.conf"

    # The anchor holds the namespaces. Without duplicate address detection the link-local address
    # is usable at once.
    unshare --net --mount --uts -- sh -c '
        hostname "machine$1"
        mount -t tmpfs tmpfs /run/avahi-daemon
        for kind in all default; do echo 0 >/proc/sys/net/ipv6/conf/$kind/accept_dad; done
        [ "$3" = yes ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
        ip link set lo up
        : >"$2/anchored"
        exec sleep infinity' sh "$i" "$home" "$v6" </dev/null >"$home/anchor.log" 2>&1 &
    echo $! >"$home/anchor.pid"
    wait_for "namespaces of machine $i" test -e "$home/anchored"

    local anchor
    anchor=$(pid_of "$i" anchor)
    if [ "$(cat $bed/switch)" = user ]; then
        ip link set "tap$i" netns "$anchor" name eth0
    else
        ip link add "port$i" type veth peer name eth0 netns "$anchor"
        ip link set "port$i" master switch up
    fi
    (enter "$i" ip addr add "10.77.0.$i/24" dev eth0)
    (enter "$i" ip link set eth0 up)
    dbus_start "$i"
    avahi_start "$i"
}

switch_up() { # machines
    echo "${BED_SWITCH:-bridge}" >$bed/switch
    if [ "$(cat $bed/switch)" = user ]; then
        build_tool
        $bed/tool switch "$1" $bed/control "${BED_SEED:-1}" </dev/null >$bed/switch.log 2>&1 &
        wait_for "switch ($bed/switch.log)" test -e $bed/control
    else
        # Nobody asks for group memberships here, so every port must get all multicast.
        ip link add switch type bridge mcast_snooping 0 stp_state 0 forward_delay 0
        echo 1 >/proc/sys/net/ipv6/conf/switch/disable_ipv6
        ip link set switch up
    fi
}

boot() { # machines, command...: the first process of the private namespaces
    local machines=$1 i jobs=()
    shift
    mount -t tmpfs tmpfs /run
    mkdir -p $bed /run/avahi-daemon
    echo "$machines" >$bed/machines
    ip link set lo up
    switch_up "$machines"
    for i in $(seq "$machines"); do
        machine_up "$i" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || { tail -n 5 $bed/*/*.log >&2; die "the bed did not come up"; }
    done
    export BED_INSIDE=1
    "$@"
}

hold() { # machines, command...: the holder, killed together with all that is inside
    [ "$(id -u)" = 0 ] || die "needs root"
    unset BED_INSIDE
    exec unshare --net --mount --pid --fork --kill-child=KILL --mount-proc --propagation private \
        -- "$self" boot "$@"
}
