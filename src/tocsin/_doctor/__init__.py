"""What an examination of any platform is made of: probes, judgements, a visit and its report."""
