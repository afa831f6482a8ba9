"""A process of the simulator; `estafeta simulate` starts them."""

import sys

from estafeta.simulation.runner import main

main(sys.argv[1:])
