<?php
// Names what in a file is later than PHP 7.4, or says "fine". It knows the words
// and functions that are easily written by habit; php 7.4 itself knows all. An
// attribute alone on its line is a comment for PHP 7.4.
// Usage: php php74.php FILE
$functions = ['str_contains', 'str_starts_with', 'str_ends_with', 'get_debug_type', 'array_is_list', 'fdiv', 'json_validate', 'array_find', 'array_any', 'array_all'];
$words = [T_MATCH, T_ENUM, T_READONLY, T_NULLSAFE_OBJECT_OPERATOR, T_ATTRIBUTE];
$found = [];
$signature = false; // between "function" and its body: the only place of types
$tokens = array_values(array_filter(PhpToken::tokenize(file_get_contents($argv[1])), fn ($t) => !$t->isIgnorable()));
foreach ($tokens as $i => $t) {
    $signature = $t->is([T_FUNCTION, T_FN]) || $signature && !$t->is(['{', ';', T_DOUBLE_ARROW]);
    $type = $signature && !$t->is(T_VARIABLE);
    if ($t->is(T_ATTRIBUTE) && ($tokens[$i - 1] ?? $t)->line < $t->line && $tokens[$i + 2]->is(']') && $tokens[$i + 3]->line > $t->line) {
        continue;
    }
    if ($t->is($words) || $t->is(T_STRING) && in_array($t->text, $functions, true)) {
        $found[] = $t->text;
    } elseif ($type && ($t->is('mixed') || $t->is('never') || $t->is(T_STATIC) && $tokens[$i - 1]->is([':', '?']))) {
        $found[] = $t->text;
    } elseif ($type && $t->is('|')) {
        $found[] = $tokens[$i - 1]->text . '|' . $tokens[$i + 1]->text;
    } elseif ($t->is([T_PUBLIC, T_PRIVATE, T_PROTECTED]) && $signature) {
        $found[] = 'promoted parameter';
    } elseif ($t->is(T_STRING) && $tokens[$i + 1]->is(':') && $tokens[$i - 1]->is(['(', ','])) {
        $found[] = $t->text . ':';
    }
}
echo $found ? implode("\n", $found) : 'fine', "\n";
