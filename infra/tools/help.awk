# Prints the targets of a Makefile: "##@ Title" starts a group, "target: ... ## text" is an entry.
BEGIN {
    FS = ":.*## "
    colour = ENVIRON["NO_COLOR"] == "" && system("test -t 1") == 0
    bold = colour ? "\033[1m" : ""
    blue = colour ? "\033[36m" : ""
    plain = colour ? "\033[0m" : ""
    printf "Polis, the event backbone of a city.  %smake TARGET%s\n", bold, plain
}
/^##@ / { printf "\n%s%s%s\n", bold, substr($0, 5), plain }
/^[a-z][a-z0-9-]*:.*## / { printf "  %s%-18s%s %s\n", blue, $1, plain, $2 }
