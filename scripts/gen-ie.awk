# SPDX-License-Identifier: BSD-3-Clause
# Reads src/ie/elements.tsv and writes elements.inc: the registry as two constant arrays.
# Reverse elements (RFC 5103) are derived from IANA's, save those that section 6.1 excludes.
# Input must be sorted by (pen, id); names must be unique without regard to case.
BEGIN {
    FS = "\t"
    split("octetArray unsigned8 unsigned16 unsigned32 unsigned64 signed8 signed16 signed32 signed64 float32 " \
          "float64 boolean macAddress string dateTimeSeconds dateTimeMilliseconds dateTimeMicroseconds " \
          "dateTimeNanoseconds ipv4Address ipv6Address basicList subTemplateList subTemplateMultiList", types, " ")
    for (i in types) type_of[types[i]] = i - 1
    split("40 41 42 130 131 137 145 148 149 163 164 165 166 167 168 173 210 211 212 213 214 215 216 217 239", none, " ")
    for (i in none) irreversible[none[i]] = 1
}
/^#/ || NF == 0 { next }
{
    if (NF != 6 || !($4 in type_of)) {
        printf "elements.tsv:%d: want pen, id, name, type, semantics, unit\n", FNR > "/dev/stderr"
        failed = 1
        exit 1
    }
    add($1, $2, $3, $4, $5, $6)
    if ($1 == 0 && $2 != 0 && !($2 in irreversible))
        reverse[++reversed] = $0
}
function add(pen, id, name, type, semantics, unit) {
    key = sprintf("%010.0f %05d", pen, id)
    row[key] = sprintf("{UINT32_C(%.0f), %d, %d, \"%s\", \"%s\", \"%s\"}", pen, id, type_of[type], name, semantics, unit)
    if (tolower(name) in seen) {
        printf "elements.tsv: the name %s stands twice\n", name > "/dev/stderr"
        failed = 1
        exit 1
    }
    seen[tolower(name)] = key
    keys[++count] = key
    names[count] = tolower(name)
}
function sort_array(a, n,    gap, i, j, t) {
    for (gap = int(n / 2); gap > 0; gap = int(gap / 2))
        for (i = gap + 1; i <= n; i++) {
            t = a[i]
            for (j = i; j > gap && a[j - gap] > t; j -= gap) a[j] = a[j - gap]
            a[j] = t
        }
}
END {
    if (failed) exit 1
    for (r = 1; r <= reversed; r++) {
        split(reverse[r], f, "\t")
        add(29305, f[2], "reverse" toupper(substr(f[3], 1, 1)) substr(f[3], 2), f[4], f[5], f[6])
    }
    sort_array(keys, count)
    sort_array(names, count)
    print "/* Generated from src/ie/elements.tsv by scripts/gen-ie.awk. */"
    printf "#define ELEMENT_COUNT %d\n", count
    print "static const struct sc_ie elements[ELEMENT_COUNT] = {"
    for (i = 1; i <= count; i++) { print "    " row[keys[i]] ","; at[keys[i]] = i - 1 }
    print "};\nstatic const uint16_t by_name[ELEMENT_COUNT] = {"
    for (i = 1; i <= count; i++) printf "    %d, /* %s */\n", at[seen[names[i]]], names[i]
    print "};"
}
