# shellcheck shell=bash
# Sourced by .ci/run: Debian packages, a Docker Engine, and a base image.
# Every function does nothing where its result is there already.

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # dockerd and debootstrap live there

engine_pid=   # the dockerd started here, if one was; no other is ever ended
engine_log=   # what it printed
rootfs=       # the base image while it is being made

say() { printf 'ci: [%3ds] %s\n' "$SECONDS" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# --- packages ----------------------------------------------------------------

installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# A package list that could not be fetched is an error only to whoever needs
# it, so the last word is the install's (or the base image's), not this one's.
update_package_lists() {
  local try
  for try in 1 2 3; do
    if apt-get update -qq -o APT::Update::Error-Mode=any </dev/null; then
      return
    fi
    say "apt-get update failed (try $try of 3)"
    sleep $((try * 5))
  done
}

install_packages() {
  local package missing=()
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  ((EUID == 0)) || die "these packages are missing and only root can install them: ${missing[*]}"
  say "installing ${missing[*]}"
  update_package_lists
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    "${missing[@]}" </dev/null >/dev/null
}

# --- the engine --------------------------------------------------------------

engine_answers() {
  timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# A daemon that was killed leaves its pid file. When that number belongs to
# another program by now, the next daemon believes that one to be its twin.
drop_stale_pid_file() {
  local file=$1 program=$2 pid
  [[ -f $file ]] || return 0
  pid=$(<"$file")
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$program" ]] || rm -f "$file"
}

start_engine() {
  if engine_answers; then
    say "using the Docker Engine that is running"
    return
  fi
  ((EUID == 0)) || die "no Docker Engine answers, and only root can start one"

  drop_stale_pid_file /var/run/docker.pid dockerd
  drop_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
  if [[ -f /var/run/docker.pid ]]; then
    say "waiting for the Docker Engine that is starting"
  else
    say "starting a Docker Engine"
    engine_log=$(mktemp)
    # A session of its own: Ctrl-C reaches the tests first, then engine_cleanup.
    setsid dockerd >"$engine_log" 2>&1 </dev/null &
    engine_pid=$!
  fi

  local deadline=$((SECONDS + 90))
  until engine_answers; do
    if [[ -n $engine_pid ]] && ! engine_is_ours; then
      tail -n 40 "$engine_log" >&2
      die "dockerd ended; its last lines are above"
    fi
    if ((SECONDS >= deadline)); then
      if [[ -n $engine_log ]]; then tail -n 40 "$engine_log" >&2; fi
      die "the Docker Engine did not answer within 90 seconds"
    fi
    sleep 0.3
  done
}

engine_is_ours() {
  [[ -n $engine_pid ]] && kill -0 "$engine_pid" 2>/dev/null
}

engine_cleanup() {
  local deadline
  if [[ -n $rootfs ]]; then
    umount -q "$rootfs/proc" "$rootfs/sys" 2>/dev/null || true
    rm -rf --one-file-system "$rootfs"
  fi
  if engine_is_ours; then
    say "ending the Docker Engine that this run started"
    kill "$engine_pid"
    deadline=$((SECONDS + 60)) # it stops its containers first
    while engine_is_ours && ((SECONDS < deadline)); do sleep 0.2; done
    if engine_is_ours; then kill -KILL "$engine_pid"; fi
  fi
  if [[ -n $engine_log ]]; then rm -f "$engine_log"; fi
}

# --- the base image ----------------------------------------------------------

# The archive that this machine's own apt takes its packages from.
debian_mirror() {
  # shellcheck disable=SC2016 # apt-get expands these, not the shell
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(CREATED_BY) $(SITE)' |
    awk '$1 == "bookworm" && $2 == "main" && $3 == "Packages" && !found { print $4; found = 1 }'
}

# Debian with Python 3.11 and nothing else, without a registry.
make_base_image() {
  local image=$1 mirror log
  if docker image inspect "$image" >/dev/null 2>&1; then
    say "using the base image $image that is there"
    return
  fi
  ((EUID == 0)) || die "the base image $image is missing, and only root can make it"

  mirror=$(debian_mirror)
  if [[ -z $mirror ]]; then
    update_package_lists
    mirror=$(debian_mirror)
  fi
  [[ -n $mirror ]] || die "apt has no source for Debian bookworm here: give docker an image named $image (any with Python 3.11 or newer)"

  say "making the base image $image"
  rootfs=$(mktemp -d -p /var/tmp votesync-base.XXXXXX)
  log=$rootfs/debootstrap/debootstrap.log
  if ! debootstrap --variant=minbase --include=python3 bookworm "$rootfs" "$mirror" </dev/null >/dev/null; then
    tail -n 20 "$log" >&2 || true
    die "debootstrap failed; its last lines are above"
  fi
  # Nothing of this machine belongs into the image: its package source, its
  # name, its resolver. Caches are left out for size.
  chmod 755 "$rootfs"
  tar -C "$rootfs" --one-file-system --numeric-owner \
    --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
    --exclude='./var/log/*' --exclude=./etc/apt/sources.list \
    --exclude=./etc/hostname --exclude=./etc/resolv.conf -c . |
    docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' - "$image" >/dev/null
  rm -rf --one-file-system "$rootfs"
  rootfs=
  say "made the base image $image"
}
