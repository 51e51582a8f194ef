# Functions up to 70 lines, files up to 900 (aim at 400), lines up to 100 columns are the formatter's.
# First file: exceptions, "<path>[:<function>] <reason>".
BEGIN { function_max = 70; file_max = 900 }
FNR == 1 { file_number++ }
file_number == 1 { if ($0 !~ /^#/ && NF > 1) excepted[$1] = 1; next }
FNR == 1 { finish(); file = FILENAME; lines = 0; candidate = "" }
{ lines = FNR }
/^[A-Za-z_].*\(/ && !/;[ ]*$/ && !/^(typedef|struct|enum|union|#)/ { candidate = $0 }
/^(struct|enum|union) [a-z_ *]+\(/ && !/;[ ]*$/ { candidate = $0 }
/^\{/ && candidate != "" { begin = FNR; name = candidate; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^\}/ && begin {
    if (FNR - begin - 1 > function_max && !((file ":" name) in excepted))
        print file ":" begin ": " name " has " FNR - begin - 1 " lines (" function_max " at most)"
    begin = 0; candidate = ""
}
function finish() {
    if (file != "" && lines > file_max && !(file in excepted))
        print file ":1: " lines " lines (" file_max " at most)"
}
END { finish() }
