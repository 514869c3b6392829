# bash completion for zcp, zcp-trace and zcp-router                                                        -*- shell-script -*-
# SPDX-License-Identifier: MIT
#
# Options are those that the program's own --help lists, so they cannot be other ones; what an option takes follows from the word behind
# it there: FILE, PID, TOPIC, ... Topics and processes are those that the router knows, which is asked for a second at most
# ($ZCP_COMPLETION_TIMEOUT); where none answers there are none. Names that the shell would want quoted are left out: anybody may choose
# them, and compgen -W expands words.

# _zcp_options COMMAND...: a line for each option of "COMMAND... --help": its name, a tab, and what it takes; [=N] if that may be left out
_zcp_options() {
	"$@" --help 2>/dev/null </dev/null | awk '
		/^ +(-[A-Za-z], )?--[a-z]/ {
			sub(/^ +/, "")
			short = ""
			if (/^-[A-Za-z], /) {
				short = substr($0, 1, 2)
				sub(/^-[A-Za-z], /, "")
			}
			match($0, /^--[a-z-]+/)
			long = substr($0, 1, RLENGTH)
			rest = substr($0, RLENGTH + 1)
			takes = ""
			if (match(rest, /^\[=[A-Z]+\]/))
				takes = substr(rest, 1, RLENGTH)
			else if (match(rest, /^ ([A-Z][A-Z,]*|[a-z_]+(\|[a-z_]+)+)( |$)/)) {
				takes = substr(rest, 2, RLENGTH - 1)
				sub(/ $/, "", takes)
			}
			print long "\t" takes
			if (short)
				print short "\t" takes
		}'
}

# _zcp_listed HEADING COMMAND...: the words that "COMMAND... --help" lists under a heading
_zcp_listed() {
	"${@:2}" --help 2>/dev/null </dev/null | awk -v heading="^$1" '
		/^$/ { on = 0 }
		on && /^  [a-z]/ { print $1 }
		$0 ~ heading { on = 1 }'
}

# _zcp_router TOOL SOCKET WHAT: the topics of endpoints of a kind that matches WHAT, or with "pid" the processes
_zcp_router() {
	local -a at=()
	[[ -z $2 ]] || at=(--socket "$2")
	timeout "${ZCP_COMPLETION_TIMEOUT:-1}" "$1" list --json "${at[@]}" 2>/dev/null </dev/null | awk -v what="$3" '
		/^ *"pid": / && what == "pid" { gsub(/[^0-9]/, ""); print }
		/^ *"kind": / { kind = $2 }
		/^ *"(service|instance|event)": / {
			name = $0
			sub(/^[^:]*: "/, "", name)
			sub(/",?$/, "", name)
			topic = $1 == "\"service\":" ? name : topic "/" name
		}
		/^ *"event": / && what != "pid" && kind ~ what && topic !~ /[] \t"\047\\$`:;&|<>(){}*?!#~=^[]/ { print topic }' | LC_ALL=C sort -u
}

# _zcp_offer WORDS: those of them that begin as the current word does
_zcp_offer() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current")
}

_zcp_files() {
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$current")
}

# _zcp_list WORDS: the last part of a list with commas
_zcp_list() {
	local before=
	[[ $current != *,* ]] || before=${current%,*},
	compopt -o nospace 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "${current##*,}")
}

# _zcp_value OPTION TAKES: the current word is what the option takes
_zcp_value() {
	case $1:${2//[][=]/} in
	*:PATH | *:FILE) _zcp_files ;;
	*:PID) _zcp_offer "$(_zcp_router "$tool" "$socket" pid)" ;;
	*:TOPIC | *:PATTERN) _zcp_offer "$(_zcp_router "$tool" "$socket" .)" ;;
	*:MODE) _zcp_offer '0600 0660 0666' ;;
	*:KEY) _zcp_offer 'topic kind subscribers total rate received bytes queue lost pool high held beat state' ;;
	--detectors:*) _zcp_list 'bpf pidfd socket heartbeat' ;;
	-k:* | --kinds:*) _zcp_list 'loan loan_fail publish ring take release lost wait_begin wait_end attach detach request response notify
		join refuse retire quota resume' ;;
	*:*'|'*) _zcp_offer "${2//|/ }" ;;
	esac
}

# _zcp_argument COMMAND N: the current word is the Nth that is no option
_zcp_argument() {
	local kind
	case $1:$2 in
	pub:1 | send:1 | sub:1) kind='publisher|subscriber' ;;
	call:1 | serve:1) kind='server|client' ;;
	notify:1 | listen:1) kind='notifier|listener' ;;
	watch:1) kind=. ;;
	record:1 | replay:* | pub:*) _zcp_files; return ;;
	record:*) kind=. ;;
	bench:*) _zcp_offer "$(_zcp_listed Sections "$program" bench)"; return ;;
	*) return ;;
	esac
	_zcp_offer "$(_zcp_router "$tool" "$socket" "$kind")"
}

# _zcp_learn COMMAND...: what its options take, to takes[]
_zcp_learn() {
	local name value
	takes=()
	while IFS=$'\t' read -r name value; do
		takes[$name]=$value
	done < <(_zcp_options "$@")
}

_zcp() {
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} option='' command='' socket='' tool word i n=0
	local -A takes=()

	COMPREPLY=()
	# the zcp that belongs to zcp-trace is beside it
	tool=${program%zcp-trace}
	[[ $tool == "$program" ]] || tool=${tool}zcp
	[[ ${program##*/} != zcp-router ]] || command=none

	_zcp_learn "$program"
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == = ]]; then
			# "--option=value" is three words, also where the value may be left out
			option=${COMP_WORDS[i - 1]}
		elif [[ -n $option ]]; then
			[[ $option != --socket ]] || socket=$word
			option=
		elif [[ $word == -- ]]; then
			# zcp serve TOPIC -- COMMAND ARGUMENT...
			if ((i == COMP_CWORD - 1)); then
				mapfile -t COMPREPLY < <(compgen -c -- "$current")
			else
				_zcp_files
			fi
			return
		elif [[ $word == -* ]]; then
			[[ -z ${takes[$word]-} || ${takes[$word]} == \[* ]] || option=$word
		elif [[ -z $command ]]; then
			# only what can be a command is called
			[[ $word =~ ^[a-z]+$ ]] || return
			command=$word
			_zcp_learn "$program" "$command"
		else
			n=$((n + 1))
		fi
	done
	if [[ $current == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 1]}
		current=
	fi

	if [[ -n $option ]]; then
		_zcp_value "$option" "${takes[$option]-}"
	elif [[ $current == -* ]]; then
		_zcp_offer "${!takes[*]}"
	elif [[ -z $command ]]; then
		_zcp_offer "$(_zcp_listed Commands "$program")"
	elif [[ ${program##*/} == zcp ]]; then
		_zcp_argument "$command" $((n + 1))
	fi
}

complete -F _zcp zcp zcp-trace zcp-router
