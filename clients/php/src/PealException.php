<?php

declare(strict_types=1);

namespace Peal;

/**
 * An error, thrown only by a client with the option throw. Its message begins with
 * the code; the result has all other details.
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
