"""The message flow of the draft's section 4.2, played in a lab and observed from outside."""
