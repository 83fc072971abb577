package pid1

// deniedHere are the denied system calls that only this architecture has.
var deniedHere []uint32
