# Completion of severctl for bash: commands, options, and the names that severd knows.
#   . severctl.bash    or install as /usr/share/bash-completion/completions/severctl
#
# Names are what somebody else chose: they are compared and quoted, never expanded. One with a
# quote or a backslash in it isn't offered.

# The names in one of severd's lists, asked for with the --url on the line; nothing without severd.
_severctl_names() { # COMMAND KEY
    local i url=()
    for ((i = 1; i < cword; i++)); do
        [ "${words[i]}" = --url ] && url=(--url "${words[i + 1]}")
        [[ ${words[i]} == --url=* ]] && url=("${words[i]}")
    done
    severctl "$1" --json "${url[@]}" 2>/dev/null | sed -n "s/^ *\"$2\": \"\([^\"\\\\]*\)\",\{0,1\}\$/\1/p"
}

# Offers those of the lines on standard input that continue the word, quoted for the shell. What
# bash replaces begins behind the word's last : or =.
_severctl_offer() {
    local line kept=${word%"${word##*[:=]}"}
    while IFS= read -r line; do
        printf -v line %q "$line"
        [ "${line:0:${#word}}" = "$word" ] && COMPREPLY+=("${line#"$kept"}")
    done
}

# bash ends words at : and = too, so that a URL comes in pieces: into `words` and `cword` as typed.
_severctl_join() {
    local i joined=
    words=() cword=0
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if [ $i -gt 0 ] && [[ $joined || ${COMP_WORDS[i]} == [:=] ]]; then
            words[cword]+=${COMP_WORDS[i]}
        else
            cword=${#words[@]}
            words[cword]=${COMP_WORDS[i]}
        fi
        joined=
        [[ ${COMP_WORDS[i]} == [:=] ]] && joined=1
    done
}

_severctl_words() { # COMMAND
    case $1 in
    nodes) printf '%s\n' add remove; _severctl_names nodes name ;;
    routes) printf '%s\n' add remove enable disable; _severctl_names routes name ;;
    faults) printf '%s\n' add set remove clear $types; _severctl_names faults name ;;
    tables) printf '%s\n' add remove; _severctl_names tables name ;;
    regions) printf '%s\n' clear; compgen -f -- "$word" ;;
    heal) _severctl_names partitions name ;;
    clock) printf '%s\n' drift reset; _severctl_names nodes name ;;
    lab) printf '%s\n' up add remove exec port status connections down; _severctl_names nodes name ;;
    help) printf '%s\n' $commands ;;
    links | capture | cut | split | isolate | exec) _severctl_names nodes name ;;
    loss) printf '%s\n' gilbert-elliott markov every; _severctl_names nodes name ;;
    *) [[ " $faults " == *" $1 "* ]] && _severctl_names nodes name ;;
    esac
}

_severctl() {
    local words cword i command=''
    _severctl_join
    local word=${words[cword]} before=${words[cword - 1]}
    local commands='status doctor nodes links routes cut split isolate heal partitions delay loss rate trace flap corrupt duplicate reorder truncate slice slow-close timeout reset limit accept-delay reject faults tables regions clock lab capture watch apply save exec help'
    local options='--json --url --help --version'
    local faults='delay loss rate trace flap corrupt duplicate reorder truncate slice slow-close timeout reset limit accept-delay reject'
    local types='latency loss rate trace flap corrupt duplicate reorder truncate slicer slow_close timeout reset_peer limit_data accept_delay reject noop'
    COMPREPLY=()
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        --url) ((i++)) ;;
        -*) ;;
        *) command=${words[i]}; break ;;
        esac
    done
    case $command in
    nodes) options+=' --address --client' ;;
    routes) options+=' --from --to --udp --spread --close-unreached' ;;
    cut | split | isolate) options+=' --name' ;;
    delay) options+=' --name --distribution --table --correlation --reorder --toxicity --first --after --match --route --direction' ;;
    rate) options+=' --name --burst --queue --shared --toxicity --first --after --match --route --direction' ;;
    trace) options+=' --name --queue --toxicity --first --after --match --route --direction' ;;
    loss | corrupt | duplicate | reorder) options+=' --name --correlation --toxicity --first --after --match --route --direction' ;;
    flap | truncate | slice | slow-close | timeout | reset | limit | accept-delay | reject) options+=' --name --toxicity --first --after --match --route --direction' ;;
    faults) options+=' --name --distribution --table --correlation --reorder --burst --queue --shared --toxicity --first --after --match --route --direction' ;;
    capture) options+=' --write --count --duration --snaplen' ;;
    lab) options+=' --client --clients --subnet --subnet6 --mtu --listen --anyway' ;;
    apply) options+=' --force' ;;
    exec) options+=' --anyway' ;;
    esac
    case $before in
    --direction) _severctl_offer < <(printf '%s\n' both upstream downstream) ;;
    --distribution) _severctl_offer < <(printf '%s\n' uniform normal pareto paretonormal) ;;
    --from | --to) _severctl_offer < <(_severctl_names nodes name) ;;
    --route) _severctl_offer < <(_severctl_names routes name) ;;
    *)
        if [ -z "$command" ] && [[ $word != -* ]]; then
            _severctl_offer < <(printf '%s\n' $commands)
        elif [[ $word == -* ]]; then
            _severctl_offer < <(printf '%s\n' $options)
        elif [ "$command" = apply ] || [ "$command" = save ] || [ "$before" = --table ]; then
            compopt -o default 2>/dev/null # files, quoted as bash does it
        else
            _severctl_offer < <(_severctl_words "$command")
        fi
        ;;
    esac
}
complete -F _severctl severctl
