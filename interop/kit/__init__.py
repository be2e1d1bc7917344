"""What all peers share: cases, processes, the recording proxy, servers, certificate checks, transcripts."""
