import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: on small arrays threads cost more than they give
