<?php

declare(strict_types=1);

namespace Peal;

/**
 * What went wrong, thrown by a client with the option throw, and only then. Its
 * message begins with the code; the result has everything else.
 */
final class PealException extends \RuntimeException
{
    public Result $result;

    public function __construct(Result $result)
    {
        parent::__construct($result->code . ': ' . $result->message, $result->status);
        $this->result = $result;
    }
}
