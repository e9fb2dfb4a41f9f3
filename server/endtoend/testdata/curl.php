<?php
// Publish with the curl extension, several messages on one connection.
// Usage: php curl.php http://127.0.0.1:8080
$curl = curl_init("$argv[1]/publish");
curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_FAILONERROR => true]);

$post = function ($fields) use ($curl) {
    curl_setopt($curl, CURLOPT_POSTFIELDS, $fields);
    $answer = curl_exec($curl);
    if ($answer === false) {
        fwrite(STDERR, curl_error($curl) . "\n");
        exit(1);
    }
    echo json_decode($answer)->cursor, ' ', curl_getinfo($curl, CURLINFO_NUM_CONNECTS), "\n";
};

$post(http_build_query(['channel' => ['php', 'php2'], 'data' => 'by http_build_query']));
$post(['channel' => 'php', 'data' => 'by an array']); // multipart/form-data
// Beyond 1 MiB, or 1 KiB in old versions, curl asks first: Expect: 100-continue.
curl_setopt($curl, CURLOPT_HTTPHEADER, ['Expect: 100-continue']);
$post(['channel' => 'php', 'data' => str_repeat('x', 60000)]);
