"""Values from AWS Parameter Store, by the token of a GitHub job: nothing of it is kept."""
