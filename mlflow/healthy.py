"""Exit 0 if the tracking server answers the other containers: an API call, under the host name that they use.

The server's own /health would not do, it answers before the store is ready and whatever the host is called.
"""

import urllib.request

urllib.request.urlopen("http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1", timeout=10)
