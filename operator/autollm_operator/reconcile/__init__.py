"""From what is known of an object to what is written for it: snapshot, plan, actions, one status."""
