"""Who is welcome: facts in, a verdict out."""
