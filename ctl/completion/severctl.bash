# Completion of severctl for bash: commands, options, and the names that severd knows.
#   . severctl.bash    or install as /usr/share/bash-completion/completions/severctl

# The names in one of severd's lists, asked for with the --url on the line; nothing without severd.
_severctl_names() { # COMMAND KEY
    local i url=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [ "${COMP_WORDS[i]}" = --url ] && url=(--url "${COMP_WORDS[i + 1]}")
    done
    severctl "$1" --json "${url[@]}" 2>/dev/null |
        sed -n "s/^ *\"$2\": \"\(.*\)\",\{0,1\}\$/\1/p"
}

_severctl_words() { # COMMAND
    case $1 in
    nodes) echo 'add remove'; _severctl_names nodes name ;;
    routes) echo 'add remove'; _severctl_names routes name ;;
    faults) echo 'remove clear'; _severctl_names faults name ;;
    heal) _severctl_names partitions name ;;
    clock) echo 'drift reset'; _severctl_names nodes name ;;
    links | cut | split | isolate | delay | loss | rate | exec) _severctl_names nodes name ;;
    esac
}

_severctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    local commands='status nodes links routes cut split isolate heal partitions delay loss rate faults clock watch apply save exec'
    local options='--json --url --help --version'
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --url) ((i++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $command in
    nodes) options+=' --address --client' ;;
    routes) options+=' --from --to --udp' ;;
    cut | split | isolate) options+=' --name' ;;
    delay) options+=' --name --distribution --route --direction' ;;
    loss) options+=' --name --route --direction' ;;
    rate) options+=' --name --burst --queue --route --direction' ;;
    apply) options+=' --force' ;;
    esac
    case $before in
    --direction) mapfile -t COMPREPLY < <(compgen -W 'both upstream downstream' -- "$word"); return ;;
    --distribution) mapfile -t COMPREPLY < <(compgen -W 'uniform normal pareto paretonormal' -- "$word"); return ;;
    --from | --to) mapfile -t COMPREPLY < <(compgen -W "$(_severctl_names nodes name)" -- "$word"); return ;;
    --route) mapfile -t COMPREPLY < <(compgen -W "$(_severctl_names routes name)" -- "$word"); return ;;
    esac
    if [ -z "$command" ] && [[ $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [ "$command" = apply ] || [ "$command" = save ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$(_severctl_words "$command")" -- "$word")
    fi
}
complete -F _severctl severctl
