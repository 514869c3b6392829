# SPDX-License-Identifier: MIT
#
# zsh -f complete.zsh DIRECTORY FILE LINE...: types each LINE and a tab into an interactive zsh that has the completions of DIRECTORY, and
# appends what is offered to FILE: the line, then each match behind a tab.
#
# compadd is what all completion functions end in: it is asked which words match before it goes on as always.

zmodload zsh/zpty zsh/zselect || exit 77
directory=$1 file=$2
shift 2
: >$file.one

# In a file, since a tab that is typed means something.
cat >$file.setup <<-END
	fpath=(${(q)directory} \$fpath)
	autoload -Uz compinit
	compinit -u -D
	unset HISTFILE
	setopt no_beep no_list_beep
	LISTMAX=100000
	zstyle ':completion:*' list-prompt ''
	compadd() {
		local -a matches
		local argument
		for argument; do
			[[ \$argument != -- ]] || break
			[[ \$argument != -[ADO]* ]] || { builtin compadd "\$@"; return }
		done
		builtin compadd -O matches "\$@"
		(( ! \$#matches )) || print -r -- \$'\\t'\${(pj:\\n\\t:)matches} >>${(q)file}.one
		builtin compadd "\$@"
	}
	offer() { zle complete-word; print -r -- end >>${(q)file}.one; zle kill-buffer }
	zle -N offer
	bindkey '^I' offer
	print -r -- end >>${(q)file}.one
END
zpty shell 'PS1= exec zsh -f -i'
zpty -w shell "source ${(q)file}.setup"

# Until the line is dealt with. What the shell prints is read, or it would stand still.
await() {
	local -i round=0
	local output
	until [[ $(<$file.one) == (|*$'\n')end ]]; do
		zpty -r -t shell output && continue
		zselect -t 5
		(( ++round < 1200 )) || { print "zsh does not complete: $1" >&2; exit 1 }
	done
}

await 'its first line'
for line; do
	: >$file.one
	zpty -w -n shell $line$'\t'
	await $line
	print -r -- $line >>$file
	grep -v '^end$' $file.one >>$file
done
zpty -d shell
