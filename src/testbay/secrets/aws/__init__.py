"""Values from AWS Parameter Store, with the token of a GitHub job: nothing is stored."""
