namespace Apvirt.Control;

/// <summary>A client and a host that do not trust each other. The message says why, for the user.</summary>
public sealed class ControlException : Exception
{
    /// <summary>Nothing was asked, or nothing was answered.</summary>
    public ControlException()
    {
    }

    /// <summary>Nothing was asked, or nothing was answered.</summary>
    /// <param name="message">Whom one of them expected instead.</param>
    public ControlException(string message)
        : base(message)
    {
    }

    /// <summary>Nothing was asked, or nothing was answered.</summary>
    /// <param name="message">Whom one of them expected instead.</param>
    /// <param name="innerException">What led to it.</param>
    public ControlException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
