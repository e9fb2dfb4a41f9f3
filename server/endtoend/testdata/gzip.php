<?php
// Reads a compressed event stream to its end. Usage: php gzip.php URL
$curl = curl_init($argv[1]);
curl_setopt_array($curl, [
    CURLOPT_ENCODING => 'gzip',
    CURLOPT_WRITEFUNCTION => function ($curl, $data) {
        echo $data;
        flush();
        return strlen($data);
    },
]);
if (!curl_exec($curl)) {
    fwrite(STDERR, curl_error($curl) . "\n");
    exit(1);
}
