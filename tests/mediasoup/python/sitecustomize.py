"""On PYTHONPATH while mediasoup is built: its gyp is older than Python 3.10."""

import collections
import collections.abc

collections.MutableSet = collections.abc.MutableSet
