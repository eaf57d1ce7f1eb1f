"""Names of files as a stranger may give them: those that would do something, and those that are only awkward."""

MARK = "document.documentElement.dataset.ran=1"  # what a script leaves behind in a page
FOLDER = "pwned"  # what a template leaves behind on disk
CODE = f"cycler.__init__.__globals__.os.mkdir(dict({FOLDER}=1)|join)"
NAMES = [
    "{{" + CODE + "}}.jpg",
    "{% endraw %}{{" + CODE + "}}{% raw %}.jpg",
    "{% set x = " + CODE + " %}.jpg",
    "{% if.jpg",
    "{{.jpg",
    "{# no end.jpg",
    f"<script>{MARK}<script>.jpg",
    f'<img src=x onerror="{MARK}">.jpg',
    f"<svg onload={MARK}>.jpg",
    f'<iframe srcdoc="<svg onload=parent.{MARK}>">.jpg',
    f"<style><img src=x onerror={MARK}>.jpg",
    f"&lt;img src=x onerror={MARK}&gt;.jpg",
    f"\\u003cimg src=x onerror={MARK}\\u003e.jpg",
    f"'+({MARK})+'.jpg",
    f'"+({MARK})+".jpg',
    "`${" + MARK + "}`.jpg",
    f"\\'+({MARK})+\\'.jpg",
    f"a\u2028{MARK}\nb.jpg",
    f"-->*{MARK}*<!--<script>.jpg",
    f"javascript:{MARK}",
    "a$b^{$c.jpg",
    "$\\frac{1}$.jpg",
    "_hidden.jpg",
    "%s %(x)s {} {0} {x!r}.jpg",
    "caf\udce9.jpg",
    "\x1b[31mred\x00\x07.jpg",
    "\u202egpj.exe.jpg",
    "\uffff\ufffe.jpg",
    "ends with \\",
    "名前 😀 ñ.jpg",
]
